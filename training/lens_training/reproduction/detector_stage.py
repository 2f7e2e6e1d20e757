"""The first stage of a recipe: train its detector and write the checkpoint."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from lens_engine.checkpoint_card import DEMO_NOTICE, CheckpointCard, TrainedOn
from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from lens_engine.detector.inference.whole_volume import EXACT, InferenceSettings
from lens_engine.errors import CheckpointError
from lens_training.detector.fit import fit
from lens_training.detector.initial import RANDOM, RESEARCH_NOTICE, new_model, trunk_digest
from lens_training.detector.run import Run
from lens_training.recipes.recipe import MeasuredPart, Recipe
from lens_training.reproduction.data import RecipeData, measured_part
from lens_training.running.fingerprint import fingerprint
from lens_training.running.last_checkpoint import kept_steps, weights_of
from lens_training.running.processes.world import ALONE, World
from lens_training.running.progress import ProgressLog, Stage
from lens_training.running.runner import connect
from lens_training.running.stopping import StopSignal


@dataclass(frozen=True, slots=True)
class RecipeRun:
    """A recipe with everything that a user decides beside it.

    Attributes
    ----------
    source
        `PHANTOM`, or the folder of the published data sets.
    weights
        File with the published ImageNet weights of DenseNet-121, `HUB` or `RANDOM`; None where the user said nothing.
    fpr_weights
        File with those of ResNet-18 for false-positive reduction, or `RANDOM`.
    inference
        How the detector computes when it mines and when it is measured.
    embedding
        Folder of the lesion embedding to mine with; None takes the one that the recipe names, or its fallback.
    begins_with
        Folder of the checkpoint whose weights are the start weights; None takes those of the recipe.
    rounds_folder
        Where the first detector and what it found lie already, for all points of a sweep; None has them made in
        `folder`.
    """

    recipe: Recipe
    source: str
    folder: Path
    seed: int = 0
    weights: str | None = None
    fpr_weights: str | None = None
    inference: InferenceSettings = EXACT
    world: World = ALONE
    embedding: Path | None = None
    rounds_folder: Path | None = None
    begins_with: Path | None = None

    @property
    def part(self) -> MeasuredPart:
        """What is measured at the end."""
        return measured_part(self.recipe, self.source)

    @property
    def stored_dtype(self) -> torch.dtype:
        """Numbers in which the weights are stored."""
        return torch.float16 if self.recipe.stores_half else torch.float32


def train_detector(run: RecipeRun, data: RecipeData, log: ProgressLog, stop: StopSignal, *, resume: bool) -> None:
    """Train a detector from the start weights and write its checkpoint, which is there then for all processes.

    Raises
    ------
    TrainingStoppedError, TrainingError, CheckpointError, ProjectError
        For the reasons that `lens_training.detector.fit.fit` has.
    """
    model, weights = _start(run, data)
    same = fingerprint(data.digest, run.recipe.deciding_fields, run.seed, weights)
    fitted = Run(data.training_set, run.recipe, run.seed, same, run.folder, run.world)
    steps = fit(model, fitted, log, stop, resume=resume)
    card = CheckpointCard(
        trained_on=data.trained_on,
        notice=DEMO_NOTICE if data.trained_on is TrainedOn.PHANTOMS else RESEARCH_NOTICE,
        recipe=run.recipe.name,
        steps=steps,
        seed=run.seed,
    )
    connect(run.world).by_first(partial(_save, model, card, run, fitted, log))


def _save(model: LensDetector, card: CheckpointCard, run: RecipeRun, fitted: Run, log: ProgressLog) -> None:
    log.report(Stage.SAVE, 0, 1)
    save_checkpoint(model, card, run.folder, dtype=run.stored_dtype)
    _keep_epochs(model, card, fitted)
    log.report(Stage.SAVE, 1, 1)


def _start(run: RecipeRun, data: RecipeData) -> tuple[LensDetector, str]:
    """Return the detector with its start weights, and what tells them from others."""
    if run.begins_with is not None:
        model, card = load_checkpoint(run.begins_with)
        if card.experts != data.experts:
            raise CheckpointError(
                f"The checkpoint in {run.begins_with} has the experts {', '.join(card.experts)}",
                f"Those of the recipe: {', '.join(data.experts)}",
                "Let the first detector learn from the same data sets",
            )
        return model.train(), str(card.weights_digest)
    imagenet = RANDOM if run.weights is None else run.weights
    model = new_model(data.experts, run.recipe.detector, run.seed, imagenet)
    return model, "random" if imagenet == RANDOM else trunk_digest(model)


def epoch_folder(folder: Path, epoch: int) -> Path:
    """Return where a run has the checkpoint after an epoch."""
    return folder / f"epoch-{epoch}"


def epoch_folders(folder: Path) -> Iterator[Path]:
    """Yield where a run has the checkpoints after epochs that are there."""
    return folder.glob("epoch-*")


def _keep_epochs(model: LensDetector, card: CheckpointCard, run: Run) -> None:
    """Make checkpoints of the weights after stated epochs; the model has others afterwards."""
    for epoch in run.kept_epochs:
        file = run.kept_file(epoch)
        steps = kept_steps(file, run.full_fingerprint)
        if steps:
            model.load_state_dict(weights_of(file, "model"))
            folder = epoch_folder(run.folder, epoch)
            folder.mkdir(exist_ok=True)
            save_checkpoint(model, card.model_copy(update={"steps": steps}), folder)
        file.unlink(missing_ok=True)


def compute_device(world: World = ALONE) -> torch.device:
    """Return where the networks of a process run."""
    return torch.device(f"cuda:{world.rank % world.devices}" if torch.cuda.is_available() else "cpu")
