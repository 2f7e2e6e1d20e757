"""Whether the published network trains at the published size on this machine, and what memory that takes.

`python -m benchmarks.published_training` trains it for 20 steps on slices of 512 x 512 pixels, stops half-way as a
person would, goes on, and fine-tunes what came out on whole slices, all through the loop that recipes use. It ends with
exit code 1 where the loss has not fallen. A batch has one sample instead of four, always with a lesion, and the rate is
ten times the published one, so that minutes on two cores show something.
"""

import argparse
import io
import json
import os
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from benchmarks.conditions import conditions, ensure_environment
from benchmarks.gpu_training import RECIPE
from benchmarks.measure import peak_of_this_process
from benchmarks.reading import SPACING_MM, write_image
from lens_engine.checkpoint_card import CheckpointCard, TrainedOn
from lens_engine.detector.checkpoints.checkpoint import save_checkpoint
from lens_engine.findings import Scope, Split
from lens_engine.io.series import scan
from lens_engine.snapshot import Lesion, LesionOrigin, LesionRole
from lens_training.datasets.case import Case, TrainingSet
from lens_training.datasets.published.listing import SeriesFiles
from lens_training.detector.fit import fit
from lens_training.detector.initial import model_from_checkpoint, new_model, retraining_recipe
from lens_training.detector.run import Run
from lens_training.errors import TrainingStoppedError
from lens_training.recipes.files import load_recipe
from lens_training.recipes.recipe import DetectorRecipe, DetectorSize, Recipe
from lens_training.running.progress import ProgressLog, Stage
from lens_training.running.stopping import StopSignal

RATE = 1e-3
FINE_TUNING_STEPS = 3
LOG = "log.jsonl"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the training showed.

    Attributes
    ----------
    losses
        Of each step.
    seconds_per_step
        The median.
    steps_before_stop
        After how many it was stopped.
    fine_tuning
        Losses of the steps that fine-tuned the result on whole slices.
    peak_gib
        Largest memory of this process.
    """

    losses: list[float]
    seconds_per_step: float
    steps_before_stop: int
    fine_tuning: list[float]
    peak_gib: float

    @property
    def has_learnt(self) -> bool:
        """Whether the loss of the last quarter of the steps is below that of the first."""
        quarter = max(len(self.losses) // 4, 1)
        return statistics.mean(self.losses[-quarter:]) < statistics.mean(self.losses[:quarter])


def main() -> None:
    """Train, print what was seen, and say by the exit code whether the loss has fallen."""
    ensure_environment()
    options = options_of(None)
    print("  ".join(f"{name}: {value}" for name, value in conditions().items()))
    with tempfile.TemporaryDirectory() as folder:
        outcome = trained(options, Path(folder))
    print("losses: " + ", ".join(f"{loss:.3f}" for loss in outcome.losses))
    print(f"stopped after {outcome.steps_before_stop} steps and gone on to {len(outcome.losses)}")
    print("fine-tuning on whole slices: " + ", ".join(f"{loss:.3f}" for loss in outcome.fine_tuning))
    print(f"{outcome.seconds_per_step:.1f} s a step, {outcome.peak_gib:.1f} GiB of memory")
    if not outcome.has_learnt:
        sys.exit("The loss has not fallen.")


def trained(options: argparse.Namespace, folder: Path) -> Outcome:
    """Train, stop, go on and fine-tune in a folder."""
    scans = _written_set(folder / "scans", (options.slices, options.side, options.side))
    recipe = _recipe(options)
    run = Run(scans, recipe, 0, "published size", folder)
    model = new_model(tuple(scans.scopes), recipe.detector, seed=0)
    half = options.steps // 2
    stop = StopSignal()
    stop.listen()  # Lightning takes the signal over later; until then it is ours
    first = folder / "first.jsonl"
    try:
        fit(model, run, ProgressLog(_StopsAt(half), first, 0), stop)
    except TrainingStoppedError:
        stopped_at = _losses(first)
    else:
        raise RuntimeError(f"The training was to stop after {half} of {options.steps} steps and did not.")
    second = folder / "second.jsonl"
    fit(model, run, ProgressLog(None, second), StopSignal(), resume=True)
    save_checkpoint(model, CheckpointCard(trained_on=TrainedOn.NOTHING, recipe=RECIPE), folder)
    return Outcome(
        losses=[*stopped_at, *_losses(second)],
        seconds_per_step=statistics.median(_seconds(first)),
        steps_before_stop=len(stopped_at),
        fine_tuning=_fine_tuned(folder, scans),
        peak_gib=peak_of_this_process() / 2**30,
    )


def _written_set(folder: Path, shape: tuple[int, int, int]) -> TrainingSet:
    """Write two scans as LUNA16 comes, each of noise with a bright lesion in its middle, and return what reads them."""
    cases = [_written_case(folder / str(number), number, shape) for number in range(2)]
    return TrainingSet(tuple(cases), {"lung": Scope.SINGLE_TYPE}, uses_unlabelled=False)


def _written_case(folder: Path, number: int, shape: tuple[int, int, int]) -> Case:
    voxels = np.random.default_rng(number).integers(-500, 500, shape, dtype=np.int16)
    z, y, x = (length // 2 for length in shape)
    voxels[z - 1 : z + 2, y - 8 : y + 8, x - 8 : x + 8] += 2000
    image = sitk.GetImageFromArray(voxels[::-1])  # ITK counts slices from the feet
    image.SetSpacing(SPACING_MM[::-1])
    (found,) = scan([write_image(image, folder / "scan.mhd", is_packed=False)]).found
    name = f"scan-{number}"
    files = SeriesFiles(name, found.source, found.geometry)
    box = (x - 8, y - 8, x + 8, y + 8)
    lesion = Lesion(
        series=name,
        box=(*box[:2], z - 1, *box[2:], z + 2),
        slices=tuple((index, *box) for index in range(z - 1, z + 2)),
        role=LesionRole.POSITIVE,
        origin=LesionOrigin.ANNOTATION,
    )
    return Case(name, name, "lung", Split.TRAIN, found.geometry, (lesion,), files.load, files=files)


class _StopsAt(io.StringIO):
    """Asks this process to end once a step is done, as a person does with Ctrl+C."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self._step = step

    def write(self, text: str) -> int:
        message = json.loads(text)
        if (message["stage"], message["done"]) == (Stage.TRAIN, self._step):
            os.kill(os.getpid(), signal.SIGTERM)
        return super().write(text)


def _recipe(options: argparse.Namespace) -> Recipe:
    recipe = load_recipe(RECIPE)
    changes = {
        "detector": DetectorRecipe(size=DetectorSize(options.size)),
        "sampling": recipe.sampling.model_copy(update={"batch_size": options.batch, "negatives_per_positive": 0.0}),
        "schedule": recipe.schedule.model_copy(update={"learning_rate": RATE}),
        "log_every": 1,
        "checkpoint_every": options.steps,
    }
    return recipe.with_length(steps=options.steps).with_options(changes)


def _fine_tuned(folder: Path, scans: TrainingSet) -> list[float]:
    """Return the losses of fine-tuning, by the recipe that *Retrain* takes, on whole slices."""
    model, card = model_from_checkpoint(folder, tuple(scans.scopes))
    recipe = retraining_recipe(card, model.config).with_length(steps=FINE_TUNING_STEPS)
    whole_slices = recipe.augmentation.model_copy(update={"crop_side": None})
    sampling = recipe.sampling.model_copy(update={"batch_size": 1})
    recipe = recipe.with_options({"augmentation": whole_slices, "sampling": sampling, "log_every": 1})
    target = folder / "fine-tuned"
    target.mkdir()
    fit(model, Run(scans, recipe, 0, "fine-tuned", target), ProgressLog(None, target / LOG), StopSignal())
    return _losses(target / LOG)


def _lines(log: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["stage"] == Stage.TRAIN]


def _losses(log: Path) -> list[float]:
    return [line["loss"] for line in _lines(log)]


def _seconds(log: Path) -> list[float]:
    times = [line["seconds"] for line in _lines(log)]
    return [later - earlier for earlier, later in pairwise(times)]


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.published_training", description=__doc__)
    parser.add_argument("--size", choices=[str(size) for size in DetectorSize], default="published")
    parser.add_argument("--side", type=int, default=512, help="pixels of a slice along each side")
    parser.add_argument("--slices", type=int, default=20, help="slices of each of the two scans")
    parser.add_argument("--batch", type=int, default=1, help="samples of a step")
    parser.add_argument("--steps", type=int, default=20)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
