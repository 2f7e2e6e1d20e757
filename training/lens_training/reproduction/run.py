"""Run a recipe from data to numbers: train, write the checkpoint, measure, and put the published row beside the result.

One folder comes out: `recipe.yaml` and `run.json`, weights and card, `log.jsonl`, `last.ckpt` to go on from,
`predictions`, `results.json` and `froc.png`; with mining a folder `first-round` with what the labels were mined from;
with false-positive reduction a folder of that name with a second checkpoint. A sweep leaves one such folder for each
point, beside the `first-round` that all of them share.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

from lens_engine.checkpoint_card import read_card
from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from lens_engine.detector.false_positive_reduction.checkpoint import load_network, save_network
from lens_engine.detector.false_positive_reduction.network import FprNetwork
from lens_engine.errors import ConfigError
from lens_engine.model_folder import REDUCTION_NAME
from lens_training.detector.initial import HUB, RANDOM
from lens_training.false_positive_reduction.collecting import detector_findings
from lens_training.false_positive_reduction.fit import FprRun, fit_network, new_network
from lens_training.recipes.mining import ROUND_NAMES
from lens_training.recipes.recipe import InitialWeights, MeasuredPart
from lens_training.recipes.sweep import SweepRecipe
from lens_training.reproduction.data import RecipeData, data_to_measure, recipe_data
from lens_training.reproduction.detector_stage import RecipeRun, compute_device, epoch_folder, train_detector
from lens_training.reproduction.measuring.part import Networks, measure_part
from lens_training.reproduction.measuring.results import RecipeResults
from lens_training.reproduction.mined_labels import MiningReport
from lens_training.reproduction.mining_stage import embedding_of, make_first_round, mine_before_training
from lens_training.reproduction.stored_run import check_folder, forget_earlier_run, load_networks, store_run
from lens_training.reproduction.sweep_results import write_sweep
from lens_training.running.fingerprint import fingerprint
from lens_training.running.progress import ProgressLog
from lens_training.running.runner import connect
from lens_training.running.stopping import StopSignal


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
    check_folder(run, resume=resume)
    embedding_of(run)  # refuses a folder without one before all data are read
    data = recipe_data(run.recipe.first_round, run.source, log, stop)
    data.groups_of(run.part)  # refuses what could not be measured after a training of hours
    if run.world.is_first:
        _begin(run, resume=resume)
    if run.recipe.sweep is None:
        return _run_with(run, data, log, stop, resume=resume)
    return _sweep(run, run.recipe.sweep, data, log, stop, resume=resume)


def _sweep(
    run: RecipeRun, sweep: SweepRecipe, data: RecipeData, log: ProgressLog, stop: StopSignal, *, resume: bool
) -> RecipeResults:
    """Run every point of a sweep in a folder of its own, with the first round that all of them share."""
    measured: dict[str, RecipeResults] = {}
    if run.recipe.mining is not None:  # always so: there is nothing else to sweep over
        make_first_round(run, run.recipe.mining, data, log, stop, resume=resume)
    for name, recipe in run.recipe.points.items():
        point = replace(run, recipe=recipe, folder=run.folder / name, rounds_folder=run.folder)
        point.folder.mkdir(exist_ok=True)
        store_run(point)
        results = _run_with(point, data, log, stop, resume=resume)
        if results is not None:  # always so: mining is done by one process
            measured[name] = results
    return write_sweep(run.folder, sweep, measured)


def _run_with(
    run: RecipeRun, data: RecipeData, log: ProgressLog, stop: StopSignal, *, resume: bool
) -> RecipeResults | None:
    """Mine, train and measure on data that are read."""
    mining, mined = run.recipe.mining, tuple[MiningReport, ...]()
    if mining is not None:
        found = mine_before_training(run, mining, data, log, stop, resume=resume)
        data, mined = found.data, found.reports
    train_detector(_own_training(run), data, log, stop, resume=resume)
    device = compute_device(run.world)
    model, card = load_checkpoint(run.folder, device)  # measured as stored, so that the card tells the truth
    network = _train_network(run, model, data, log, stop, resume=resume)
    results = measure_part(run, data, run.part, Networks(model, network), (log, stop), mined)
    if results is not None:
        said = card.model_copy(update={"metrics": results.metrics})
        save_checkpoint(model, said, run.folder, dtype=run.stored_dtype)
    return results


def _begin(run: RecipeRun, *, resume: bool) -> None:
    """Write what a run is; an earlier one in its folder counts no longer where this one begins anew."""
    if not resume:
        for folder in (run.folder, *(run.folder / point for point in run.recipe.points)):
            forget_earlier_run(folder)
    store_run(run)


def _own_training(run: RecipeRun) -> RecipeRun:
    """Return the run of the recipe's own detector: from the start weights, or from an epoch of the first one."""
    epoch = None if run.recipe.mining is None else run.recipe.mining.begins_with_epoch
    if epoch is None:
        return run
    first = (run.rounds_folder or run.folder) / ROUND_NAMES[0]
    return replace(run, recipe=run.recipe.own_training, begins_with=epoch_folder(first, epoch))


def measure_run(run: RecipeRun, part: MeasuredPart, log: ProgressLog, stop: StopSignal) -> RecipeResults | None:
    """Measure a finished run on a part of its data, in as many processes as there are devices.

    Returns
    -------
    RecipeResults or None
        None in every process but the first.

    Raises
    ------
    ConfigError, DatasetError, AnnotationFileError
        If the data are not there, or have no such part.
    CheckpointError
        If the folder has no weights.
    TrainingStoppedError, TrainingError, ExportError
        For the reasons that `measure_part` has.
    """
    networks = load_networks(run)
    data = data_to_measure(run.recipe, run.source, part, log, stop)
    return measure_part(run, data, part, networks, (log, stop))


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
    """Train the second network, if any, on what the detector finds in its training data; return it as stored."""
    recipe = run.recipe.false_positive_reduction
    if recipe is None:
        return None
    folder = run.folder / REDUCTION_NAME
    folder.mkdir(exist_ok=True)
    published = None if run.fpr_weights in {None, RANDOM} else Path(str(run.fpr_weights))
    network = new_network(recipe.size.config(model.config), run.seed, published)
    card = read_card(run.folder)
    precision, inference = run.recipe.precision, run.inference
    how = recipe.model_dump_json(), precision, inference.precision
    same = fingerprint(card.weights_digest, data.digest, *how, run.seed, run.fpr_weights)
    fitted = FprRun(
        data.training_set,
        recipe,
        run.seed,
        same,
        folder,
        precision,
        run.recipe.tensorboard,
        run.recipe.threads,
        run.world,
        run.recipe.sampling.unreadable_share,
    )
    find = detector_findings(model, recipe.min_score, inference)
    outcome = fit_network(network, fitted, find, log, stop, resume=resume)
    said = {"parent": run.recipe.name, "steps": outcome.steps, "metrics": {}}
    connect(run.world).by_first(partial(save_network, network, card.model_copy(update=said), folder))
    return load_network(folder, compute_device(run.world))[0]
