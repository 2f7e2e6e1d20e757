"""The command that trains a detector on a label snapshot: `python -m lens_training fit`, which training jobs run.

Progress goes to stdout (see `running.progress`), errors to stderr.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from lens_engine.checkpoint_card import CheckpointCard
from lens_engine.detector.checkpoints.checkpoint import save_checkpoint
from lens_engine.errors import ConfigError
from lens_engine.snapshot import Snapshot
from lens_training.cli.context import AnewOption, ResumeOption, process_of_run, recipe_with_slice_cache
from lens_training.datasets.snapshot import training_set
from lens_training.detector.fit import fit
from lens_training.detector.initial import (
    HUB,
    RANDOM,
    average_with,
    model_from_checkpoint,
    new_model,
    origin_of,
    retraining_recipe,
    trunk_digest,
)
from lens_training.detector.run import Run
from lens_training.recipes.files import load_recipe
from lens_training.recipes.recipe import InitialWeights, Recipe
from lens_training.running.fingerprint import fingerprint
from lens_training.running.progress import Stage
from lens_training.running.schedule import TrainingPrecision

FROM_SCRATCH = "none"
DEFAULT_RECIPE = "from-scratch"


@dataclass(frozen=True, slots=True)
class _Start:
    """What a run of `fit` begins with.

    Attributes
    ----------
    weights
        Digest of the published ones; None where there are none or a parent has them.
    """

    snapshot: Snapshot
    recipe: Recipe
    seed: int
    parent: CheckpointCard | None
    weights: str | None

    @property
    def fingerprint(self) -> str:
        """Equal for runs that give the same result."""
        weights = self.weights if self.parent is None else self.parent.weights_digest
        return fingerprint(self.snapshot.digest, self.recipe.deciding_fields, self.seed, weights)


def fit_command(  # noqa: PLR0913 # an option of a verb is a parameter of its function
    snapshot: Annotated[Path, typer.Option(help="Label snapshot (JSON).")],
    out: Annotated[Path, typer.Option(help="Folder for weights, card, log and last.ckpt.")],
    init: Annotated[str, typer.Option(help="Checkpoint folder to start from, or 'none'.")] = FROM_SCRATCH,
    weights: Annotated[
        str | None,
        typer.Option(help="ImageNet weights of DenseNet-121 for --init none: a file, 'hub' to download, or 'none'."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Name of a recipe, or a YAML file; by default 'from-scratch', and with --init what the recipe of that "
            "checkpoint says about retraining."
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Length of the run, instead of the recipe's.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Length of the run, instead of the recipe's.")] = None,
    seed: Annotated[int, typer.Option(help="Decides batches and augmentation.")] = 0,
    resume: ResumeOption = False,
    anew: AnewOption = False,
    root: Annotated[list[str] | None, typer.Option(help="NAME=FOLDER for paths relative to a named root.")] = None,
    devices: Annotated[int, typer.Option(min=1, help="GPUs (or processes of the CPU) on every node.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Nodes on which srun starts the processes.")] = 1,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes that prepare batches, per device.")] = None,
    precision: Annotated[TrainingPrecision | None, typer.Option(help="Instead of the recipe's.")] = None,
    tensorboard: Annotated[bool | None, typer.Option(help="Write event files to OUT/tensorboard.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder that keeps slices of packed scans, and bodies; by default the user's.")
    ] = None,
) -> None:
    """Train a detector on a label snapshot."""
    with process_of_run(out, devices, nodes, resume=resume, anew=anew) as process:
        options = {"workers": workers, "precision": precision, "tensorboard": tensorboard}
        labels = Snapshot.load(snapshot)
        if init != FROM_SCRATCH:
            _refuse_weights(weights, init)
            model, parent = model_from_checkpoint(Path(init), labels.experts)
            known = retraining_recipe(parent, model.config) if recipe is None else load_recipe(recipe)
            chosen = recipe_with_slice_cache(known.with_length(steps=steps, epochs=epochs).with_options(options), cache)
            start = _Start(labels, chosen, seed, parent, None)
            parent_share = chosen.retraining.parent_share if recipe is None else 0.0
        else:
            known = load_recipe(recipe or DEFAULT_RECIPE)
            chosen = recipe_with_slice_cache(known.with_length(steps=steps, epochs=epochs).with_options(options), cache)
            parent_share = 0.0
            if process.world.is_first and weights is None:
                _warn_of_random_weights(chosen)
            model = new_model(labels.experts, chosen.detector, seed, weights or RANDOM)
            start = _Start(labels, chosen, seed, None, None if weights in {None, RANDOM} else trunk_digest(model))
        run = Run(training_set(labels, _roots(root or [])), chosen, seed, start.fingerprint, out, process.world)
        before = {name: value.clone() for name, value in model.state_dict().items()} if parent_share else {}
        trained_steps = fit(model, run, process.log, process.stop, resume=resume)
        average_with(model, before, parent_share)
        if process.world.is_first:
            process.log.report(Stage.SAVE, 0, 1)
            parent_name = None if start.parent is None else Path(init).resolve().name
            save_checkpoint(model, _card(start, trained_steps, parent_name), out)
            process.log.report(Stage.SAVE, 1, 1)


def _refuse_weights(weights: str | None, init: str) -> None:
    if weights is not None:
        raise ConfigError(
            f"--weights {weights} was given with --init {init}",
            "A run begins with a checkpoint or with ImageNet weights",
            "Leave one of them out",
        )


def _warn_of_random_weights(recipe: Recipe) -> None:
    if recipe.initial_weights is InitialWeights.IMAGENET:
        typer.echo(
            f"Recipe {recipe.name} begins with the ImageNet weights of DenseNet-121, this run with random ones. Give "
            f"--weights FILE (a state dict with torchvision's names) or --weights {HUB} for the published ones, or "
            f"--weights {RANDOM} if random ones are meant.",
            err=True,
        )


def _card(start: _Start, steps: int, parent_name: str | None) -> CheckpointCard:
    trained_on, notice = origin_of(start.parent)
    return CheckpointCard(
        trained_on=trained_on,
        notice=notice,
        parent=parent_name,
        snapshot=start.snapshot.digest,
        recipe=start.recipe.name,
        steps=steps,
        seed=start.seed,
    )


def _roots(assignments: list[str]) -> dict[str, Path]:
    roots: dict[str, Path] = {}
    for assignment in assignments:
        name, separator, folder = assignment.partition("=")
        if not separator:
            raise ConfigError(f"--root got {assignment!r}", "NAME=FOLDER is needed", "Give the name of the root first")
        roots[name] = Path(folder)
    return roots
