"""The commands about recipes: `python -m lens_training recipe`, from a shell `lens recipe`."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lens_engine.detector.inference.whole_volume import InferencePrecision, InferenceSettings
from lens_training.cli.context import AnewOption, ResumeOption, process_of_run, recipe_with_slice_cache
from lens_training.cli.embedding_command import embed_command
from lens_training.cli.endings import errors_as_exit_codes
from lens_training.cli.experiment import run_experiment
from lens_training.cli.measuring_commands import export_command, measure_command
from lens_training.loop.design import LOOP, LOOP_FILE, load_design
from lens_training.recipes.files import Scale, default_scale, find_recipe, load_recipe, system_recipe_names
from lens_training.recipes.listing import recipe_table, recipe_text
from lens_training.recipes.recipe import Recipe
from lens_training.reproduction.data import PHANTOM
from lens_training.reproduction.detector_stage import RecipeRun
from lens_training.reproduction.run import run_recipe
from lens_training.running.schedule import TrainingPrecision

RUNS_FOLDER = Path("runs")
LISTING_FOLDER = "listing"

recipe_app = typer.Typer(no_args_is_help=True, help="List, show and run the recipes, one for each published row.")
recipe_app.command("embed")(embed_command)
recipe_app.command("measure")(measure_command)
recipe_app.command("export")(export_command)

NameArgument = Annotated[str, typer.Argument(help="Name of a recipe (see 'recipe list'), or a YAML file.")]
ScaleOption = Annotated[
    Scale | None,
    typer.Option(help="By default 'tiny' to run a published system on phantoms, otherwise 'published'."),
]


@recipe_app.command("list")
def list_command(
    names: Annotated[bool, typer.Option("--names", help="Print the names of those of published systems only.")] = False,
) -> None:
    """List all recipes with what the papers report."""
    if names:
        typer.echo("\n".join(system_recipe_names()))
        return
    table = recipe_table()
    table.add_row(LOOP, load_design().title, "", "", "")
    Console(width=None if sys.stdout.isatty() else 140).print(table)


@recipe_app.command("show")
def show_command(name: NameArgument, scale: ScaleOption = None) -> None:
    """Print a recipe with everything that it inherits."""
    if name == LOOP:
        typer.echo(LOOP_FILE.read_text(encoding="utf-8"), nl=False)
        return
    with errors_as_exit_codes():
        text = recipe_text(load_recipe(name, scale or Scale.PUBLISHED), find_recipe(name).chain)
    typer.echo(text, nl=False)


def _keeping(recipe: Recipe, cache: Path | None, out: Path) -> Recipe:
    """Return a recipe that keeps what was read: listings beside the run, slices for all runs, or both in `cache`."""
    listing = cache or recipe.reading.cache or out / LISTING_FOLDER
    listed = recipe.with_options({"reading": recipe.reading.model_copy(update={"cache": listing})})
    return recipe_with_slice_cache(listed, cache)


@recipe_app.command("run")
def run_command(  # noqa: PLR0913 # an option of a verb is a parameter of its function
    name: NameArgument,
    data: Annotated[str, typer.Option(help="'phantom', or the folder of the data sets.")] = PHANTOM,
    scale: ScaleOption = None,
    out: Annotated[Path | None, typer.Option(help="Output folder; by default runs/NAME.")] = None,
    seed: Annotated[int, typer.Option(help="Decides initial weights, batches and augmentation.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Length of the run, instead of the recipe's.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Length of the run, instead of the recipe's.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="ImageNet weights of DenseNet-121: a file, 'hub' to download, or 'none'.")
    ] = None,
    fpr_weights: Annotated[
        str | None, typer.Option(help="ImageNet weights of ResNet-18 for false-positive reduction: a file, or 'none'.")
    ] = None,
    embedding: Annotated[
        Path | None, typer.Option(help="Lesion embedding to mine with; by default the recipe's, beside OUT.")
    ] = None,
    resume: ResumeOption = False,
    anew: AnewOption = False,
    devices: Annotated[int, typer.Option(min=1, help="GPUs (or processes of the CPU) on every node.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Nodes on which srun starts the processes.")] = 1,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes that prepare batches, per device.")] = None,
    precision: Annotated[TrainingPrecision | None, typer.Option(help="Instead of the recipe's.")] = None,
    tensorboard: Annotated[bool | None, typer.Option(help="Write event files to OUT/tensorboard.")] = None,
    inference: Annotated[
        InferencePrecision, typer.Option(help="Numbers of the network when it is measured.")
    ] = InferencePrecision.FP32,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps slices of packed scans, bodies, and what masks and headers said."),
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, help="Of 'loop': replicates that run side by side, a core each.")] = 1,
) -> None:
    """Train and measure a recipe, on phantom patients or on the published data sets; 'loop' is a whole experiment."""
    if name == LOOP:
        given: dict[str, object] = {"--scale": scale, "--steps": steps, "--epochs": epochs, "--weights": weights}
        given |= {"--workers": workers, "--embedding": embedding, "--anew": anew or None}
        given |= {"--data": None if data == PHANTOM else data, "--seed": seed or None, "--precision": precision}
        run_experiment(
            out or RUNS_FOLDER / LOOP,
            parallel,
            [name for name, value in given.items() if value is not None],
            resume=resume,
        )
        return
    folder = out or RUNS_FOLDER / Path(name).stem
    with process_of_run(folder, devices, nodes, resume=resume, anew=anew) as process:
        chosen = load_recipe(name, scale or default_scale(name, on_phantoms=data == PHANTOM))
        options: dict[str, object] = {"workers": workers, "precision": precision, "tensorboard": tensorboard}
        if data != PHANTOM:
            chosen = _keeping(chosen, cache, folder)
        recipe = chosen.with_length(steps=steps, epochs=epochs).with_options(options)
        settings = InferenceSettings(inference)
        run = RecipeRun(recipe, data, folder, seed, weights, fpr_weights, settings, process.world, embedding)
        results = run_recipe(run, process.log, process.stop, resume=resume)
    if results is not None:
        typer.echo(results.text)
