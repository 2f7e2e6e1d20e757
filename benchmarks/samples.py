"""Samples of a training per second from files of published sizes: the slices of a sample against the whole scan.

Both ways make the same samples, bit for bit, one after the other in one thread, as a process for batches does. Each
finds its files on the disk, not in memory: the published data sets are larger than that.
`python -m benchmarks.samples` also prints samples per second of two such processes, and the memory of one.
"""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from benchmarks.measure import Comparison, Growth, compare
from benchmarks.reading import SPACING_MM, synthetic_ct, write_dicom, write_image, write_png
from lens_engine.detector.input_config import InputConfig
from lens_engine.detector.preprocess import Crop, NetworkGrid
from lens_engine.findings import Split
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.series import scan
from lens_training.datasets.case import Case
from lens_training.datasets.published.listing import SeriesFiles
from lens_training.detector.augmentation import draw_variation
from lens_training.detector.planes import PlaneCache, Planes
from lens_training.detector.sampling import SampleKind, SliceChoice
from lens_training.detector.slice_cache import SliceCache
from lens_training.recipes.recipe import AugmentationRecipe

SIDE = 512
GOAL = 5.0
THIN_MM = 0.7
"""Between slices that lie beside those of the network's grid, so that a sample needs nearly twice as many."""
GROWTH_LIMIT = 1.2
SAMPLES = 6
REPEATS = 9
CONFIG = InputConfig()

_CACHE_BYTES = 2**33


@dataclass(frozen=True, slots=True)
class Scan:
    """Files of one scan.

    Attributes
    ----------
    goal
        How much faster single slices should be than the whole scan; 0 where it is hardly longer than a sample.
    """

    name: str
    case: Case
    goal: float
    paths: tuple[Path, ...]


def run() -> list[Comparison]:
    """Return the seconds for a sample from every layout, each against whole scans."""
    with tempfile.TemporaryDirectory() as folder, _one_thread():
        return [_compared(each, Path(folder) / "kept") for each in scans(Path(folder))]


def growth() -> list[Growth]:
    """Return what a sample of a scan of 600 slices costs against one of 100 slices."""
    with tempfile.TemporaryDirectory() as folder, _one_thread():
        return [growth_of(Path(folder) / name, name) for name in ("raw.mhd", "packed.nii.gz")]


def main() -> None:
    """Print samples per second of two processes, and the memory of one."""
    print(f"{'what':26} {'whole scans':>12} {'slices':>10}   samples/s of 2 processes;  memory of a process")
    with tempfile.TemporaryDirectory() as folder, _one_thread():
        for each in scans(Path(folder)):
            whole, single = both_ways(each.case, Path(folder) / "kept")
            rates = [_samples_per_second(way) for way in (whole, single)]
            memory = [_own_mib(way) for way in (whole, single)]
            print(f"{each.name:26} {rates[0]:12.2f} {rates[1]:10.2f}   {memory[0]:8.0f} MiB {memory[1]:8.0f} MiB")


def scans(folder: Path, side: int = SIDE, counts: Sequence[int] = (13, 61, 300, 500, 300)) -> list[Scan]:
    """Write the layouts of the published data sets and return what reads them."""
    short, long, metaimage, nifti, dicom = counts
    return [
        _scan(f"PNG, {short} slices", write_png(folder / "short", synthetic_ct((short, side, side))), 0),
        _scan(f"PNG, {long} slices", write_png(folder / "long", synthetic_ct((long, side, side))), 0),
        _scan(f".mhd + .raw, {metaimage} slices", _image(folder / "mhd/raw.mhd", metaimage, side), GOAL),
        _scan(
            f".mhd + .raw, {metaimage} of {THIN_MM} mm", _image(folder / "thin/raw.mhd", metaimage, side, THIN_MM), GOAL
        ),
        _scan(f".nii.gz, {nifti} slices", _image(folder / "gz/packed.nii.gz", nifti, side), GOAL),
        _scan(f"DICOM, {dicom} slices", write_dicom(folder / "dicom", synthetic_ct((dicom, side, side))), GOAL),
    ]


def both_ways(case: Case, kept: Path) -> tuple[Planes, Planes]:
    """Return what makes samples from whole scans, and from the slices that they need; both know the body."""
    slices = SliceCache(kept, _CACHE_BYTES)
    single = PlaneCache([case], 0, slices).planes(0)
    return _WholeScan(case, PlaneCache([replace(case, files=None)], 0)), single


def samples(planes: Planes, grids: Sequence[tuple[NetworkGrid, int]]) -> list[torch.Tensor]:
    """Return the samples at some places."""
    return [planes.image(grid, index, CONFIG) for grid, index in grids]


def places(planes: Planes, count: int = SAMPLES) -> list[tuple[NetworkGrid, int]]:
    """Return where samples lie: as a training draws them, around slices all over the scan."""
    generator, recipe = np.random.default_rng(0), AugmentationRecipe()
    numbers = np.linspace(0.1, 0.9, count) * (planes.geometry.shape[0] - 1)
    choices = [SliceChoice(0, round(number), SampleKind.FREE) for number in numbers.tolist()]
    drawn = [draw_variation(recipe, planes, CONFIG, choice, generator) for choice in choices]
    return [(variation.grid, variation.grid_index) for variation in drawn]


def growth_of(folder: Path, name: str, side: int = SIDE) -> Growth:
    """Return what a sample of a scan of 600 slices costs against one of 100 slices, in files of one name."""
    costs: list[list[float]] = [[], []]
    ways = []
    for count in (100, 600):
        each = _scan(f"{count}", _image(folder / f"{count}" / name, count, side), 0)
        single = both_ways(each.case, folder / "kept")[1]
        ways.append(partial(samples, single, places(single)))
    for _ in range(REPEATS + 2):
        for cost, way in zip(costs, ways, strict=True):
            started = time.process_time()
            way()
            cost.append((time.process_time() - started) / SAMPLES * 1e3)
    smaller, larger = (float(np.median(cost[1:])) for cost in costs)
    return Growth(f"a sample of {name}", "100 slices", smaller, "600 slices", larger, "ms of a core", GROWTH_LIMIT)


def forget(paths: Sequence[Path]) -> None:
    """Ask the system to drop what it holds of files in memory, where it can be asked."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in paths:
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)  # what is not on the disk yet is not dropped
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class _WholeScan:
    """`Planes` that read the whole scan for every sample; its body is looked for once."""

    case: Case
    cache: PlaneCache

    @property
    def geometry(self) -> VolumeGeometry:
        return self.case.geometry

    @property
    def body(self) -> Crop:
        return self.cache.planes(0).body

    def body_on(self, slice_index: int) -> Crop:
        return self.cache.planes(0).body_on(slice_index)

    def hounsfield(self, slice_index: int) -> NDArray[np.int16]:
        return self.cache.planes(0).hounsfield(slice_index)

    def image(self, grid: NetworkGrid, grid_index: int, config: InputConfig) -> torch.Tensor:
        return self.cache.planes(0).image(grid, grid_index, config)


def _scan(name: str, path: Path, goal: float) -> Scan:
    (found,) = scan([path]).found
    files = SeriesFiles(name, found.source, found.geometry)
    return Scan(
        name, Case(name, "1", "lung", Split.TRAIN, found.geometry, (), files.load, files=files), goal, files.paths
    )


def _image(path: Path, count: int, side: int, z_mm: float = SPACING_MM[0]) -> Path:
    image = sitk.GetImageFromArray(synthetic_ct((count, side, side))[::-1])  # ITK counts slices from the feet
    image.SetSpacing((*SPACING_MM[:0:-1], z_mm))
    return write_image(image, path, path.name.endswith(".gz"))


def _compared(each: Scan, kept: Path) -> Comparison:
    whole, single = both_ways(each.case, kept)
    grids = places(single)
    for one, other in zip(samples(whole, grids), samples(single, grids), strict=True):
        if not torch.equal(one, other):
            raise ValueError(f"samples of {each.name} differ: their time means nothing")
    ours = compare(
        f"a sample, {each.name}",
        "whole scan",
        partial(_next_sample, whole, cycle(grids)),
        partial(_next_sample, single, cycle(grids)),
        REPEATS,
        partial(forget, [*each.paths, *kept.rglob("*")]),
    )
    slices = max(len(grid.sample_slices(index)) for grid, index in grids)
    return ours.wanted(each.goal, f"{slices} slices of each; {1 / ours.ours_seconds:.1f} samples/s")


def _next_sample(planes: Planes, grids: Iterator[tuple[NetworkGrid, int]]) -> torch.Tensor:
    grid, index = next(grids)
    return planes.image(grid, index, CONFIG)


def _samples_per_second(planes: Planes) -> float:
    return sum(_in_processes(2, partial(_rate, planes, places(planes))))


def _own_mib(planes: Planes) -> float:
    """Return the most memory that one process has for itself, beyond what it shares with the one that started it."""
    return _in_processes(1, partial(_peak_mib, planes, places(planes)))[0]


def _in_processes(count: int, measure: Callable[[], float]) -> list[float]:
    """Return what processes measure that are forked from this one and run at the same time."""
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    processes = [context.Process(target=lambda: answers.put(measure())) for _ in range(count)]
    for process in processes:
        process.start()
    found = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    return found


def _rate(planes: Planes, grids: Sequence[tuple[NetworkGrid, int]]) -> float:
    samples(planes, grids[:1])
    started = time.perf_counter()
    for _ in range(2):
        samples(planes, grids)
    return 2 * len(grids) / (time.perf_counter() - started)


def _peak_mib(planes: Planes, grids: Sequence[tuple[NetworkGrid, int]]) -> float:
    peak = 0
    for place in grids:
        held = samples(planes, [place])
        text = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8")
        private = [line.split()[1] for line in text.splitlines() if line.startswith("Private_")]
        peak = max(peak, sum(map(int, private)))
        del held
    return peak / 1024


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


if __name__ == "__main__":
    main()
