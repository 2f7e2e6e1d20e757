"""Measure a part of the data with the weights that a run has left: predict what is missing, then measure everything.

The test part is read once: what a run did with it is counted in `test-readings.json` beside its weights, which neither
a stopped evaluation nor a training that begins anew takes back.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lens_engine.checkpoint_card import read_card
from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.false_positive_reduction.network import FprNetwork
from lens_engine.io.atomic_files import write_text_atomically
from lens_engine.model_folder import REDUCTION_NAME
from lens_training.errors import TrainingError
from lens_training.recipes.recipe import MeasuredPart
from lens_training.reproduction.case_detections import LOOK_VERSION, DetectionFiles
from lens_training.reproduction.data import MeasuredGroup, RecipeData
from lens_training.reproduction.detector_stage import RecipeRun
from lens_training.reproduction.measuring.measurer import EVALUATION_SCORE, Measurer
from lens_training.reproduction.measuring.predictions import PREDICTIONS_FOLDER, Predictor
from lens_training.reproduction.measuring.results import RecipeResults, Subject, measure_predictions, measured_results
from lens_training.reproduction.mined_labels import MiningReport
from lens_training.running.fingerprint import fingerprint
from lens_training.running.progress import ProgressLog
from lens_training.running.stopping import StopSignal

READINGS_FILE = "test-readings.json"


@dataclass(frozen=True, slots=True, eq=False)
class Networks:
    """What a run has trained, as stored."""

    model: LensDetector
    reduction: FprNetwork | None = None


def results_folder(run: RecipeRun, part: MeasuredPart) -> Path:
    """Return where the results of a part lie: those of what the run measures at its end in its own folder."""
    return run.folder if part is run.part else run.folder / part


def measure_part(
    run: RecipeRun,
    data: RecipeData,
    part: MeasuredPart,
    networks: Networks,
    reports: tuple[ProgressLog, StopSignal],
    mined: tuple[MiningReport, ...] = (),
) -> RecipeResults | None:
    """Return what is measured on a part, from what is there already where nothing has changed since.

    Returns
    -------
    RecipeResults or None
        None in every process but the first.

    Raises
    ------
    ConfigError
        If the data have no such part.
    TrainingStoppedError
        If the process was asked to end; the cases that are done are kept.
    TrainingError, ExportError
        If the disk refuses.
    """
    groups = data.groups_of(part)
    files = {group.name: prediction_files(run, group) for group in groups}
    made_from = _made_from(run, groups, files)
    folder = results_folder(run, part)
    known = measured_results(folder, made_from)
    if known is not None:
        return known if run.world.is_first else None
    readings = None
    if part is MeasuredPart.TEST and run.world.is_first:
        readings = _count_reading(run.folder / READINGS_FILE, made_from)
    measurer = Measurer(networks.model, networks.reduction, run.inference)
    predictor = Predictor(run.world, *reports)
    for group in groups:
        look = measurer.look_at_key_slices if group.is_key_slices else measurer.look_at
        predictor.predict(group.cases, files[group.name], look)
    if not run.world.is_first:
        return None
    predictor.refuse_unreadable()
    stop = reports[1]
    subject = Subject(run.recipe, data, part, folder, measurer, files, made_from, stop, mined, readings)
    return measure_predictions(subject)


def prediction_files(run: RecipeRun, group: MeasuredGroup) -> DetectionFiles:
    """Return the files of what a run's networks say about a group."""
    reduction = run.folder / REDUCTION_NAME
    folders = [run.folder] if run.recipe.false_positive_reduction is None else [run.folder, reduction]
    digests = [read_card(folder).weights_digest for folder in folders]
    made_from = fingerprint(LOOK_VERSION, digests, run.inference.precision, run.inference.compiles, EVALUATION_SCORE)
    folder = run.folder / PREDICTIONS_FOLDER / group.folder_name
    return DetectionFiles(folder, made_from, are_of_key_slices=group.is_key_slices)


def readings_of_test(path: Path) -> list[dict[str, str]]:
    """Return what is known of every look at the test part, the first one first.

    Raises
    ------
    TrainingError
        If the file is damaged.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return [{"made from": entry["made from"], "begun": entry["begun"]} for entry in stored]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{path} cannot be read ({error})",
            "It says how often the test part was read",
            "Restore the file; without it the count begins anew",
        ) from error


def _count_reading(path: Path, made_from: str) -> int:
    """Count a look at the test part before it begins; the same weights, settings and cases are the same look."""
    known = readings_of_test(path)
    if made_from not in {entry["made from"] for entry in known}:
        known.append({"made from": made_from, "begun": datetime.now(UTC).isoformat(timespec="seconds")})
        write_text_atomically(path, json.dumps(known, indent=1) + "\n")
    return len(known)


def _made_from(run: RecipeRun, groups: tuple[MeasuredGroup, ...], files: dict[str, DetectionFiles]) -> str:
    options = run.recipe.evaluation.model_dump(mode="json")
    return fingerprint(options, *((group.digest, files[group.name].fingerprint) for group in groups))
