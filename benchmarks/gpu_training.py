"""How fast a detector learns on a GPU, and how busy reading keeps it.

`python -m benchmarks.gpu_training` prints two tables and writes `benchmarks/gpu_training_results.json`. The first is of
steps on batches that are in memory: images per second, memory, and the share of the device's measured matrix rate that
forward, backward and optimiser reach. The second is of steps on batches that worker processes make from files, as in a
training: busy is the share of the time in which no step waits for its batch. The files are scans of published sizes in
the layouts of the four data sets, or published data sets with `--data FOLDER`. As in the long run of a training each
sample reads the slices that it needs, from the disk: the first look at a scan, which reads all of it once and keeps
what the next ones need, comes before. `--device cpu --size narrow --side 64 --slices 20 --steps 2` tries the script
where there is no GPU.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.conditions import conditions, ensure_environment
from benchmarks.detector.subjects import EXPERTS
from benchmarks.gpu import device_name, device_of, forget_peak, matrix_rate, peak_gib, seconds_of
from benchmarks.samples import forget, scans
from lens_engine.detector.config import DetectorConfig
from lens_engine.detector.inference.whole_volume import InferencePrecision
from lens_engine.errors import LensError
from lens_engine.findings import Scope
from lens_engine.geometry import VolumeGeometry
from lens_engine.snapshot import Lesion, LesionOrigin, LesionRole
from lens_engine.tasks.device_errors import is_short_of_memory
from lens_training.datasets.case import Case, TrainingSet
from lens_training.datasets.labels import SliceLabels
from lens_training.detector.batches import Batch, BatchMaker, batch_loader
from lens_training.detector.data_workers import data_workers
from lens_training.detector.initial import new_model
from lens_training.detector.module import DetectorTraining
from lens_training.detector.planes import PlaneCache
from lens_training.detector.sampling import BatchPlan
from lens_training.detector.slice_cache import SLICES_FOLDER, SliceCache
from lens_training.recipes.files import load_recipe
from lens_training.recipes.recipe import DetectorRecipe, DetectorSize, Recipe
from lens_training.reproduction.data import recipe_data
from lens_training.running.progress import ProgressLog
from lens_training.running.schedule import TrainingPrecision
from lens_training.running.stopping import StopSignal

RESULTS = Path(__file__).with_name("gpu_training_results.json")
GOAL = 0.4
"""Share of the measured matrix rate that a step should reach."""
RECIPE = "L2-c"

_RATE_OF = {
    TrainingPrecision.BF16_MIXED: InferencePrecision.BF16,
    TrainingPrecision.FP32: InferencePrecision.FP32,
}
_DATASETS = ("universal", "universal", "lung", "lung", "liver", "lymph node")
"""Whose layout each of `samples.scans` has."""
_BATCHES_AHEAD = 2
"""Of each process for batches, as the data loader has it."""
_LESIONS = 8
"""Of a written scan, at heights all over it."""


@dataclass(frozen=True, slots=True)
class StepSpeed:
    """Steps on batches in memory.

    Attributes
    ----------
    giga_flops
        Floating-point operations (in 10^9) for an image, forward and backward.
    share_of_rate
        They over the time, as a share of the rate of large matrix products.
    peak_gib
        Largest memory on the GPU; 0 on a CPU.
    """

    precision: str
    batch: int
    images_per_second: float
    giga_flops: float
    share_of_rate: float
    peak_gib: float


@dataclass(frozen=True, slots=True)
class FedSpeed:
    """Steps on batches made from files.

    Attributes
    ----------
    busy
        Share of the time in which no step waits for its batch.
    """

    source: str
    workers: int
    steps: int
    images_per_second: float
    busy: float


def main() -> None:
    """Measure steps and trainings, print both tables and write them."""
    ensure_environment()
    options = options_of(None)
    results = measure(options, device_of(options.device))
    options.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def measure(options: argparse.Namespace, device: torch.device) -> dict[str, object]:
    """Print both tables and return them."""
    before = conditions() | {"device": device_name(device)}
    print("  ".join(f"{name}: {value}" for name, value in before.items()))
    print(f"{'precision':>12} {'batch':>5} {'images/s':>9} {'GFLOP':>7} {'of the rate':>11} {'memory':>9}")
    steps = []
    for row in step_speeds(options, device):
        print(
            f"{row.precision:>12} {row.batch:5} {row.images_per_second:9.2f} {row.giga_flops:7.0f}"
            f" {row.share_of_rate:10.1%} {row.peak_gib:5.1f} GiB",
            flush=True,
        )
        steps.append(row)
    print(f"goal: {GOAL:.0%} of the rate of matrix products")
    fed = fed_speed(options, device)
    speed = f"{fed.images_per_second:.2f} images/s, device {fed.busy:.0%} busy"
    print(f"{fed.source}, {fed.workers} workers, {fed.steps} steps: {speed}")
    return {"conditions": before, "steps": [asdict(row) for row in steps], "fed": asdict(fed)}


def step_speeds(options: argparse.Namespace, device: torch.device) -> Iterator[StepSpeed]:
    """Yield the speed of steps for every precision and size of batches that fits into the memory of the device."""
    for precision in options.precision:
        rate = _rate(device, precision)
        for batch in options.batch:
            row = fitting(partial(_step_speed, options, device, precision, batch, rate))
            if row is None:
                print(f"{precision:>12} {batch:5} does not fit into the memory of the device", flush=True)
            else:
                yield row


def fitting(measure_steps: Callable[[], StepSpeed]) -> StepSpeed | None:
    """Return what is measured; None where the memory of the device does not suffice."""
    try:
        return measure_steps()
    except RuntimeError as error:
        if not is_short_of_memory(error):
            raise
    torch.cuda.empty_cache()
    return None


def _rate(device: torch.device, precision: TrainingPrecision) -> float:
    """Return the rate of matrix products in the numbers of a step's convolutions: on a GPU single precision is TF32."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    try:
        return matrix_rate(device, _RATE_OF[precision])
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _step_speed(
    options: argparse.Namespace, device: torch.device, precision: TrainingPrecision, batch: int, rate: float
) -> StepSpeed:
    learner = _Learner(EXPERTS, recipe_of(options, precision, batch), device)
    made = noise_batch(batch, options.side, device)
    with FlopCounterMode(display=False) as counter:
        learner.step(made)
    forget_peak(device)
    seconds = statistics.median(seconds_of(device, partial(learner.step, made)) for _ in range(options.steps))
    flops = counter.get_total_flops()
    return StepSpeed(
        precision=precision.value,
        batch=batch,
        images_per_second=batch / seconds,
        giga_flops=flops / batch / 1e9,
        share_of_rate=flops / seconds / rate,
        peak_gib=peak_gib(device),
    )


def fed_speed(options: argparse.Namespace, device: torch.device) -> FedSpeed:
    """Return the speed of steps on batches from files, in the first precision and size of batches that were given.

    Each process for batches makes some ahead: so many steps are not timed, and as many at least are.
    """
    workers = data_workers(options.workers, 1, has_gpu=device.type == "cuda")
    ahead = 1 + workers * _BATCHES_AHEAD
    steps = max(options.steps, ahead)
    with tempfile.TemporaryDirectory() as folder:
        kept = options.cache or Path(folder) / "kept"
        recipe = _keeping(recipe_of(options, options.precision[0], options.batch[0]), kept)
        source, training_set = _training_set(options, recipe, Path(folder) / "scans")
        learner = _Learner(tuple(training_set.scopes), recipe, device)
        maker = batch_maker(training_set, recipe, learner.model.config)
        numbers = range(ahead + steps)
        read_once(maker, numbers, workers)
        forget([*_scan_files(maker, numbers), *kept.rglob("*")])
        batches = iter(batch_loader(maker, numbers, workers))
        for _ in range(ahead):
            learner.step(_batch_of(batches, device))
        waited = worked = 0.0
        for _ in range(steps):
            started = time.perf_counter()
            batch = _batch_of(batches, device)
            waited += time.perf_counter() - started
            worked += seconds_of(device, partial(learner.step, batch))
        del batches
    return FedSpeed(
        source=source,
        workers=workers,
        steps=steps,
        images_per_second=steps * recipe.sampling.batch_size / (waited + worked),
        busy=worked / (waited + worked),
    )


def _keeping(recipe: Recipe, folder: Path) -> Recipe:
    """Return a recipe that keeps in a folder what it reads, as `lens recipe run --cache FOLDER` does."""
    slices = recipe.sampling.model_copy(update={"slice_cache": folder / SLICES_FOLDER})
    return recipe.with_options({"sampling": slices, "reading": recipe.reading.model_copy(update={"cache": folder})})


def _training_set(options: argparse.Namespace, recipe: Recipe, folder: Path) -> tuple[str, TrainingSet]:
    if options.data is None:
        source = f"{options.scans} x {len(_DATASETS)} scans of up to {options.slices} slices"
        return source, written_set(folder, options.scans, options.slices, options.side)
    source = str(options.data)
    return source, recipe_data(recipe, source, ProgressLog(None, None), StopSignal()).training_set


def batch_maker(training_set: TrainingSet, recipe: Recipe, config: DetectorConfig) -> BatchMaker:
    """Return what makes the batches of a training, from single slices of the scans that find no room in memory."""
    sampling = recipe.sampling
    slices = SliceCache(sampling.slice_cache, int(sampling.slice_cache_gib * 2**30))
    cache = PlaneCache(training_set.cases, int(sampling.cache_gib * 2**30), slices)
    return BatchMaker(training_set, cache, BatchPlan(training_set, sampling, 0), config, recipe.augmentation, 0)


def read_once(maker: BatchMaker, numbers: range, workers: int) -> None:
    """Make the batches once, so that all is kept that their scans are read whole for."""
    for batch in batch_loader(maker, numbers, workers):
        _sound(batch)


def _scan_files(maker: BatchMaker, numbers: range) -> list[Path]:
    used = {choice.case for number in numbers for choice in maker.plan.batch(number)}
    files = [maker.training_set.cases[number].files for number in sorted(used)]
    return [path for own in files if own is not None for path in own.paths]


class _Learner:
    """A detector, and one step of its training."""

    def __init__(self, experts: tuple[str, ...], recipe: Recipe, device: torch.device) -> None:
        self.model = new_model(experts, recipe.detector, seed=0).to(device)
        self._training = DetectorTraining(self.model, recipe, recipe.steps or 1, seed=0).train()
        self._optimiser = self._training.configure_optimizers()["optimizer"]
        self._precision, self._clip, self._device = recipe.precision, recipe.schedule.gradient_clip, device

    def step(self, batch: Batch) -> None:
        """Learn from a batch as the training loop does."""
        self._optimiser.zero_grad()
        is_mixed = self._precision is TrainingPrecision.BF16_MIXED
        with torch.autocast(self._device.type, torch.bfloat16, enabled=is_mixed):
            loss, _ = self._training.losses(batch)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self._training.parameters(), self._clip)
        self._optimiser.step()


def _batch_of(batches: Iterator[Batch | LensError], device: torch.device) -> Batch:
    return _sound(next(batches)).to(device)


def _sound(batch: Batch | LensError) -> Batch:
    if isinstance(batch, LensError):
        raise batch
    return batch


def recipe_of(options: argparse.Namespace, precision: TrainingPrecision, batch: int) -> Recipe:
    """Return a published recipe with what the options change of it."""
    recipe = load_recipe(RECIPE)
    return recipe.with_length(steps=options.steps).with_options(
        {
            "detector": DetectorRecipe(size=DetectorSize(options.size)),
            "sampling": recipe.sampling.model_copy(update={"batch_size": batch, "cache_gib": options.cache_gib}),
            "precision": precision,
        }
    )


def noise_batch(count: int, side: int, device: torch.device) -> Batch:
    """Return images of noise with three lesions each."""
    generator = np.random.default_rng(0)
    images = torch.from_numpy(generator.normal(0, 50, (count, 9, side, side)).astype(np.float32))
    corners = generator.uniform(0, side * 0.8, (count, 3, 2))
    boxes = np.concatenate([corners, corners + side * 0.1], axis=2)
    labels = tuple(SliceLabels(lesions=own) for own in boxes)
    return Batch(images, ((side, side),) * count, labels, expert=0, number=0).to(device)


def written_set(folder: Path, count: int, slices: int, side: int) -> TrainingSet:
    """Write `count` scans of each layout of `samples.scans`, with lesions all over them, and return what reads them."""
    counts = (min(slices, 13), min(slices, 61), slices, slices, slices)  # the first two are sub-volumes of DeepLesion
    cases = [
        _labelled(each.case, f"{each.name}, {number}", dataset)
        for number in range(count)
        for each, dataset in zip(scans(folder / str(number), side, counts), _DATASETS, strict=True)
    ]
    scopes = {name: Scope.UNIVERSAL if name == _DATASETS[0] else Scope.SINGLE_TYPE for name in EXPERTS}
    return TrainingSet(tuple(cases), scopes, uses_unlabelled=False)


def _labelled(case: Case, name: str, dataset: str) -> Case:
    heights = np.linspace(0.1, 0.9, _LESIONS) * (case.geometry.shape[0] - 1)
    lesions = [_lesion(name, case.geometry, height) for height in sorted(set(heights.round().astype(int).tolist()))]
    return replace(case, name=name, patient=name, dataset=dataset, lesions=tuple(lesions))


def _lesion(series: str, geometry: VolumeGeometry, z: int) -> Lesion:
    y, x = (length // 2 for length in geometry.shape[1:])
    box = (x - 8, y - 8, x + 8, y + 8)
    return Lesion(
        series=series,
        box=(*box[:2], z, *box[2:], z + 1),
        slices=((z, *box),),
        role=LesionRole.POSITIVE,
        origin=LesionOrigin.ANNOTATION,
    )


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_training", description=__doc__)
    parser.add_argument("--device", help="where to compute (default: the GPU)")
    parser.add_argument("--size", choices=[str(size) for size in DetectorSize], default="published")
    parser.add_argument("--side", type=int, default=512, help="pixels of an image along each side")
    parser.add_argument("--batch", type=int, nargs="+", default=[4, 8, 16], help="images of a step")
    parser.add_argument("--steps", type=int, default=20, help="steps that are timed at least")
    precisions = list(_RATE_OF)
    parser.add_argument("--precision", type=TrainingPrecision, choices=precisions, nargs="+", default=precisions)
    parser.add_argument("--data", type=Path, help="folder of the published data sets")
    parser.add_argument("--cache", type=Path, help="folder that keeps what is read of scans once (default: none)")
    parser.add_argument("--scans", type=int, default=2, help="scans to write of each layout where there is no --data")
    parser.add_argument("--slices", type=int, default=300, help="slices of the longest of them")
    parser.add_argument("--cache-gib", type=float, default=0.001, help="memory for scans; as good as none by default")
    parser.add_argument("--workers", type=int, help="processes for batches (default: as a training has)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file for the figures, as JSON")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
