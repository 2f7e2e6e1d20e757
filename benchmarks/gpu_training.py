"""How fast a detector learns on a GPU, and how busy reading keeps it.

`python -m benchmarks.gpu_training` prints two tables and writes `benchmarks/gpu_training_results.json`. The first is of
steps on batches that are in memory: images per second, memory, and the share of the device's measured matrix rate that
forward, backward and optimiser reach. The second is of steps on batches that worker processes make from files, as in a
training: busy is the share of the time in which no step waits for its batch. `--data FOLDER` reads published data sets
instead of written scans; `--device cpu --size narrow --side 64 --steps 2` tries the script where there is no GPU.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.conditions import conditions, ensure_environment
from benchmarks.detector.subjects import EXPERTS
from benchmarks.gpu import device_name, device_of, forget_peak, matrix_rate, peak_gib, seconds_of
from lens_engine.detector.inference.whole_volume import InferencePrecision
from lens_engine.errors import LensError
from lens_engine.findings import Scope, Split
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.series import read_volume, scan
from lens_engine.snapshot import Lesion, LesionOrigin, LesionRole
from lens_training.datasets.case import Case, TrainingSet
from lens_training.datasets.labels import SliceLabels
from lens_training.detector.batches import Batch, BatchMaker, batch_loader
from lens_training.detector.initial import new_model
from lens_training.detector.module import DetectorTraining
from lens_training.detector.planes import PlaneCache
from lens_training.detector.sampling import BatchPlan
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
_SPACING_MM = (1.0, 0.75, 0.75)


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
    print(f"{fed.source}, {fed.workers} workers: {speed}")
    return {"conditions": before, "steps": [asdict(row) for row in steps], "fed": asdict(fed)}


def step_speeds(options: argparse.Namespace, device: torch.device) -> Iterator[StepSpeed]:
    """Yield the speed of steps for every precision and size of batches, the first ones being those of a recipe."""
    for precision in options.precision:
        rate = matrix_rate(device, _RATE_OF[precision])
        for batch in options.batch:
            yield _step_speed(options, device, precision, batch, rate)


def _step_speed(
    options: argparse.Namespace, device: torch.device, precision: TrainingPrecision, batch: int, rate: float
) -> StepSpeed:
    learner = _Learner(EXPERTS, recipe_of(options, precision, batch), device)
    made = noise_batch(batch, options.side, device)
    with FlopCounterMode(display=False) as counter:
        learner.step(made)
    forget_peak(device)
    seconds = statistics.median(seconds_of(device, lambda: learner.step(made)) for _ in range(options.steps))
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
    """Return the speed of steps on batches from files, in the first precision and size of batches that were given."""
    recipe = recipe_of(options, options.precision[0], options.batch[0])
    with tempfile.TemporaryDirectory() as folder:
        if options.data is None:
            source = f"{options.scans} scans of {options.slices} slices"
            training_set = written_set(Path(folder), options.scans, (options.slices, options.side, options.side))
        else:
            source = str(options.data)
            training_set = recipe_data(recipe, source, ProgressLog(None, None), StopSignal()).training_set
        learner = _Learner(tuple(training_set.scopes), recipe, device)
        cache = PlaneCache(training_set.cases, int(options.cache_gib * 2**30))
        plan = BatchPlan(training_set, recipe.sampling, seed=0)
        maker = BatchMaker(training_set, cache, plan, learner.model.config, recipe.augmentation, 0)
        batches = iter(batch_loader(maker, range(options.steps + 1), recipe.workers))
        learner.step(_batch_of(batches, device))  # the first one waits for the workers to begin
        waited = worked = 0.0
        for _ in range(options.steps):
            started = time.perf_counter()
            batch = _batch_of(batches, device)
            waited += time.perf_counter() - started
            worked += seconds_of(device, lambda batch=batch: learner.step(batch))
        del batches
    return FedSpeed(
        source=source,
        workers=recipe.workers,
        images_per_second=options.steps * recipe.sampling.batch_size / (waited + worked),
        busy=worked / (waited + worked),
    )


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
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._training.parameters(), self._clip)
        self._optimiser.step()


def _batch_of(batches: Iterator[Batch | LensError], device: torch.device) -> Batch:
    batch = next(batches)
    if isinstance(batch, LensError):
        raise batch
    return batch.to(device)


def recipe_of(options: argparse.Namespace, precision: TrainingPrecision, batch: int) -> Recipe:
    """Return a published recipe with what the options change of it."""
    recipe = load_recipe(RECIPE)
    return recipe.with_length(steps=options.steps).with_options(
        {
            "detector": DetectorRecipe(size=DetectorSize(options.size)),
            "sampling": recipe.sampling.model_copy(update={"batch_size": batch, "cache_gib": options.cache_gib}),
            "precision": precision,
            "workers": options.workers,
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


def written_set(folder: Path, scans: int, shape: tuple[int, int, int]) -> TrainingSet:
    """Write scans as LUNA16 comes, each with a lesion in its middle, and return what reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = [_written_case(folder / f"scan-{number}.mhd", number, shape) for number in range(scans)]
    return TrainingSet(tuple(cases), {"lung": Scope.SINGLE_TYPE}, uses_unlabelled=False)


def _written_case(path: Path, number: int, shape: tuple[int, int, int]) -> Case:
    voxels = np.random.default_rng(number).integers(-500, 500, shape, dtype=np.int16)
    z, y, x = (length // 2 for length in shape)
    voxels[z - 1 : z + 2, y - 8 : y + 8, x - 8 : x + 8] += 2000
    image = sitk.GetImageFromArray(voxels[::-1])  # ITK counts slices from the feet
    image.SetSpacing(_SPACING_MM[::-1])
    sitk.WriteImage(image, str(path))
    (found,) = scan([path]).found
    geometry: VolumeGeometry = found.geometry
    box = (x - 8, y - 8, x + 8, y + 8)
    slices = tuple((index, *box) for index in range(z - 1, z + 2))
    lesion = Lesion(
        series=path.stem,
        box=(*box[:2], z - 1, *box[2:], z + 2),
        slices=slices,
        role=LesionRole.POSITIVE,
        origin=LesionOrigin.ANNOTATION,
    )
    return Case(path.stem, path.stem, "lung", Split.TRAIN, geometry, (lesion,), lambda: read_volume(found.source))


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_training", description=__doc__)
    parser.add_argument("--device", help="where to compute (default: the GPU)")
    parser.add_argument("--size", choices=[str(size) for size in DetectorSize], default="published")
    parser.add_argument("--side", type=int, default=512, help="pixels of an image along each side")
    parser.add_argument("--batch", type=int, nargs="+", default=[4, 8, 16], help="images of a step")
    parser.add_argument("--steps", type=int, default=20, help="steps that are timed")
    parser.add_argument("--precision", type=TrainingPrecision, nargs="+", default=list(_RATE_OF))
    parser.add_argument("--data", type=Path, help="folder of the published data sets")
    parser.add_argument("--scans", type=int, default=8, help="scans to write where there is no --data")
    parser.add_argument("--slices", type=int, default=300, help="slices of each of them")
    parser.add_argument("--cache-gib", type=float, default=0.01, help="memory for scans; as good as none by default")
    parser.add_argument("--workers", type=int, default=max((os.cpu_count() or 1) - 1, 0))
    parser.add_argument("--results", type=Path, default=RESULTS, help="file for the figures, as JSON")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
