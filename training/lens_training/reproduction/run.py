"""Run a recipe from data to numbers: train, write the checkpoint, measure, and put the published row beside the result.

One folder comes out: `recipe.yaml`, weights and card, `log.jsonl`, `last.ckpt` to go on from, `results.json` and
`froc.png`; with mining a folder `first-round` with what the labels were mined from; with false-positive reduction a
folder of that name with a second checkpoint.
"""

from pathlib import Path

from lens_engine.checkpoint_card import read_card
from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from lens_engine.detector.false_positive_reduction.checkpoint import load_network, save_network
from lens_engine.detector.false_positive_reduction.network import FprNetwork
from lens_engine.errors import ConfigError
from lens_engine.io.atomic_files import write_text_atomically
from lens_engine.model_folder import REDUCTION_NAME
from lens_training.detector.initial import HUB, RANDOM
from lens_training.false_positive_reduction.collecting import detector_findings
from lens_training.false_positive_reduction.fit import FprRun, fit_network, new_network
from lens_training.recipes.listing import recipe_text
from lens_training.recipes.recipe import InitialWeights
from lens_training.reproduction.data import RecipeData, recipe_data
from lens_training.reproduction.detector_stage import RecipeRun, compute_device, train_detector
from lens_training.reproduction.measuring import Measurer
from lens_training.reproduction.mining_stage import mine_before_training
from lens_training.reproduction.results import RecipeResults, measure_recipe
from lens_training.running.fingerprint import fingerprint
from lens_training.running.progress import ProgressLog
from lens_training.running.stopping import StopSignal

RECIPE_FILE = "recipe.yaml"


def run_recipe(run: RecipeRun, log: ProgressLog, stop: StopSignal, *, resume: bool = False) -> RecipeResults | None:
    """Mine where the recipe does, train and measure; what is finished already is not done again with `resume`.

    Returns
    -------
    RecipeResults or None
        None in every process but the first.

    Raises
    ------
    ConfigError
        If the recipe begins with ImageNet weights and nobody said where they are, the data are not there, or several
        processes were started for a recipe that mines.
    DatasetError, AnnotationFileError
        If a data set is not as published.
    TrainingStoppedError, TrainingError, CheckpointError, ProjectError
        For the reasons that `lens_training.detector.fit.fit` has.
    """
    _check_weights(run)
    _check_processes(run)
    mining, mined = run.recipe.mining, None
    data = recipe_data(run.recipe.first_round, run.source, log, stop)
    if run.world.is_first:
        write_text_atomically(run.folder / RECIPE_FILE, recipe_text(run.recipe))
    if mining is not None:
        mined = mine_before_training(run, mining, data, log, stop, resume=resume)
        data = mined.data
    steps = train_detector(run, data, log, stop, resume=resume)
    if steps is None:
        return None
    model, card = load_checkpoint(run.folder, compute_device())  # measured as stored, so that the card tells the truth
    network = _train_network(run, model, data, log, stop, resume=resume)
    measurer = Measurer(model, log, stop, network, run.inference)
    results = measure_recipe(run.recipe, data, measurer, run.folder, None if mined is None else mined.report)
    save_checkpoint(model, card.model_copy(update={"metrics": results.metrics}), run.folder, dtype=run.stored_dtype)
    return results


def _check_weights(run: RecipeRun) -> None:
    """Refuse what would otherwise end the run only after all data were read."""
    for option, value in (("--weights", run.weights), ("--fpr-weights", run.fpr_weights)):
        is_word = value in {None, RANDOM} or (option == "--weights" and value == HUB)
        if not is_word and not Path(str(value)).is_file():
            raise ConfigError(
                f"{option} got {value}, and there is no such file",
                "A state dict with torchvision's names",
                "Correct the path",
            )
    if run.recipe.initial_weights is not InitialWeights.IMAGENET:
        return
    if run.weights is None:
        raise ConfigError(
            f"Recipe {run.recipe.name} begins with the ImageNet weights of DenseNet-121",
            "Where they are has to be said",
            f"Give --weights FILE (a state dict with torchvision's names), --weights {HUB} to download them, or "
            f"--weights {RANDOM} to begin with random ones",
        )
    if run.recipe.false_positive_reduction is not None and run.fpr_weights is None:
        raise ConfigError(
            f"The false-positive reduction of recipe {run.recipe.name} begins with the ImageNet weights of ResNet-18",
            "Where they are has to be said",
            f"Give --fpr-weights FILE (a state dict with torchvision's names), or --fpr-weights {RANDOM}",
        )


def _check_processes(run: RecipeRun) -> None:
    if run.recipe.mining is not None and run.world.size > 1:
        raise ConfigError(
            f"Recipe {run.recipe.name} mines, and {run.world.size} processes were started for it",
            "Mining is done by one process",
            "Start it again with one device on one node",
        )


def _train_network(
    run: RecipeRun, model: LensDetector, data: RecipeData, log: ProgressLog, stop: StopSignal, *, resume: bool
) -> FprNetwork | None:
    """Train the second network, if any, on what the detector finds in its training data; write its checkpoint."""
    recipe = run.recipe.false_positive_reduction
    if recipe is None:
        return None
    folder = run.folder / REDUCTION_NAME
    folder.mkdir(exist_ok=True)
    published = None if run.fpr_weights in {None, RANDOM} else Path(str(run.fpr_weights))
    network = new_network(recipe.size.config(model.config), run.seed, published)
    card = read_card(run.folder)
    same = fingerprint(card.weights_digest, data.digest, recipe.model_dump_json(), run.seed, run.fpr_weights)
    tensorboard, threads = run.recipe.tensorboard, run.recipe.threads
    fitted = FprRun(data.training_set, recipe, run.seed, same, folder, tensorboard, threads)
    outcome = fit_network(network, fitted, detector_findings(model, recipe.min_score), log, stop, resume=resume)
    said = {"parent": run.recipe.name, "steps": outcome.steps, "metrics": {}}
    save_network(network, card.model_copy(update=said), folder)
    return load_network(folder, compute_device())[0]
