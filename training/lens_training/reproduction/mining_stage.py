"""The mining stage of a recipe: train a first detector, detect in its universal training scans, mine, and label anew.

Everything is kept below `first-round`: the detector's checkpoint, one file of detections for each scan, and the labels.
What is there already is not done again. Only universal cases are mined, patient by patient. Patients of two data sets
are never known to be the same person, so that single-type cases have no annotation to lend and are not looked at.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from lens_engine.checkpoint_card import read_card
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint
from lens_engine.findings import Scope
from lens_engine.mining.calibration import calibrate_distance_limit
from lens_engine.mining.inputs import SeriesMiningInput
from lens_engine.mining.reports.counts import LabelCounts, count_all, count_rules, count_steps
from lens_engine.mining.strategies.choice import StrategySettings, mine_labels
from lens_engine.mining.strategies.labels import MinedLabels
from lens_engine.mining.strategies.lens import LensSettings, LensStep
from lens_training.datasets.case import Case, TrainingSet
from lens_training.recipes.mining import MiningRecipe
from lens_training.reproduction.case_annotations import annotations_of
from lens_training.reproduction.case_detections import CaseDetector, DetectionFiles
from lens_training.reproduction.data import RecipeData
from lens_training.reproduction.detector_stage import RecipeRun, compute_device, train_detector
from lens_training.reproduction.mined_labels import (
    CaseLabels,
    MinedCases,
    MiningReport,
    is_mined,
    labels_of,
    load_mined,
)
from lens_training.running.fingerprint import fingerprint
from lens_training.running.progress import ProgressLog, Stage
from lens_training.running.stopping import StopSignal

FIRST_ROUND_FOLDER = "first-round"
DETECTIONS_FOLDER = "detections"
LABELS_FILE = "labels.jsonl"


@dataclass(frozen=True, slots=True, eq=False)
class MinedData:
    """What the recipe's own training learns from, and what mining said about it."""

    data: RecipeData
    report: MiningReport


def mine_before_training(
    run: RecipeRun, mining: MiningRecipe, data: RecipeData, log: ProgressLog, stop: StopSignal, *, resume: bool
) -> MinedData:
    """Return the data of the recipe's own training, labelled with what a first detector was mined for.

    Parameters
    ----------
    data
        Of the first round: all data sets that the first detector learns from.
    resume
        Go on where the folder says; from the beginning where it says nothing.

    Raises
    ------
    TrainingStoppedError
        If the process was asked to end; what is done is kept.
    TrainingError, CheckpointError, ProjectError
        If a file cannot be written or read, or for the reasons of the training.
    """
    first = replace(run, recipe=run.recipe.first_round, folder=run.folder / FIRST_ROUND_FOLDER)
    first.folder.mkdir(exist_ok=True)
    train_detector(first, data, log, stop, resume=resume)
    cases = tuple(case for case in data.training_set.cases if data.training_set.scopes[case.dataset] is Scope.UNIVERSAL)
    made_by = fingerprint(read_card(first.folder).weights_digest, data.digest, run.inference.precision)
    files = DetectionFiles(first.folder / DETECTIONS_FOLDER, made_by)
    _detect(first, cases, files, log, stop, resume=resume)
    labels_file = first.folder / LABELS_FILE
    made_from = fingerprint(made_by, mining.model_dump(mode="json"))
    if resume and is_mined(labels_file, made_from):
        mined = load_mined(labels_file)
    else:
        mined = mine_cases(cases, files, mining, log, stop)
        mined.save(labels_file, made_from)
    return MinedData(_taught(run, mining, data, mined), mined.report)


def mine_cases(
    cases: Sequence[Case], files: DetectionFiles, mining: MiningRecipe, log: ProgressLog, stop: StopSignal
) -> MinedCases:
    """Mine cases with what a detector said about them, patient by patient, and count what it gives.

    Raises
    ------
    TrainingStoppedError
        If the process was asked to end.
    TrainingError
        If the detections of a case cannot be read.
    """
    source = _Inputs(cases, files)
    settings, note = _calibrated(mining, source)
    labels: list[CaseLabels] = []
    mined: list[MinedLabels] = []
    patients = source.patients
    for done, patient in enumerate(patients):
        stop.check()
        log.report(Stage.MINE, done, len(patients))
        found = mine_labels(list(source.of(patient)), settings)
        labels += [labels_of(cases[n], part, source.owner_of_id) for n, part in zip(patient, found, strict=True)]
        mined += found
    log.report(Stage.MINE, len(patients), len(patients))
    matches = isinstance(settings, LensSettings) and settings.up_to is not LensStep.CROSS_SLICE
    limit = settings.distance_limit if isinstance(settings, LensSettings) and matches else None
    report = MiningReport(
        strategy=mining.strategy, distance_limit=limit, limit_note=note, counts=_counts(mined, settings)
    )
    return MinedCases(report, tuple(labels))


def _detect(
    first: RecipeRun, cases: Sequence[Case], files: DetectionFiles, log: ProgressLog, stop: StopSignal, *, resume: bool
) -> None:
    """Detect in every case that is not done."""
    missing = [case for case in cases if not (resume and files.has(case))]
    model, _ = load_checkpoint(first.folder, compute_device())
    detector = CaseDetector(model, first.inference)
    for done, case in enumerate(missing, len(cases) - len(missing)):
        stop.check()
        log.report(Stage.DETECT, done, len(cases))
        files.write(case, detector.look_at(case))
    log.report(Stage.DETECT, len(cases), len(cases))


class _Inputs:
    """The mining inputs of cases, read one at a time: those of a whole data set do not fit into memory together."""

    def __init__(self, cases: Sequence[Case], files: DetectionFiles) -> None:
        self._cases, self._files = cases, files
        by_patient: dict[str, list[int]] = {}
        for number, case in enumerate(cases):
            by_patient.setdefault(case.patient, []).append(number)
        self._patient_id = {name: number for number, name in enumerate(by_patient)}
        self._scan_id: dict[str, int] = {}
        self._first_id: list[int] = []
        owners: list[tuple[str, int]] = []
        for case in cases:
            self._scan_id.setdefault(case.scan or case.name, len(self._scan_id))
            self._first_id.append(len(owners))
            owners += [(case.name, number) for number, _ in enumerate(annotations_of(case))]
        self.patients = tuple(tuple(numbers) for numbers in by_patient.values())
        """Numbers of the cases of each patient."""
        self.owner_of_id: Mapping[int, tuple[str, int]] = dict(enumerate(owners))
        """Case, and number within the case, of each annotation."""

    def of(self, numbers: Sequence[int]) -> Iterator[SeriesMiningInput]:
        """Yield the input of each case; sub-volumes of one scan are one series, which is not matched with itself."""
        for number in numbers:
            case = self._cases[number]
            found = self._files.read(case)
            scan = self._scan_id[case.scan or case.name]
            yield SeriesMiningInput(
                series_id=scan,
                patient_id=self._patient_id[case.patient],
                study_id=scan,  # no strategy asks for the study
                slices=case.geometry.shape[0],
                proposals=found.proposals,
                annotations=annotations_of(case, self._first_id[number], tuple(found.annotation_embeddings)),
                universal_experts=(case.dataset,),
            )


def _calibrated(mining: MiningRecipe, source: _Inputs) -> tuple[StrategySettings, str]:
    """Return the settings with the limit that is used, and a note about where it comes from."""
    settings = mining.complete_settings
    if not isinstance(settings, LensSettings) or not mining.calibrates_limit:
        return settings, ""
    patients = islice(source.patients, settings.rules.calibration_patients)
    series = (part for patient in patients for part in source.of(patient))
    limit = calibrate_distance_limit(series, settings.rules)
    return replace(settings, distance_limit=limit.value), limit.note


def _counts(mined: Sequence[MinedLabels], settings: StrategySettings) -> tuple[LabelCounts, ...]:
    """Return the rows of LENS Table IV where the mining went all the way, otherwise one for each rule and their sum."""
    if isinstance(settings, LensSettings) and settings.up_to is LensStep.UNLABELLED:
        return count_steps(mined)
    return (*count_rules(mined), count_all("all", mined))


def _taught(run: RecipeRun, mining: MiningRecipe, data: RecipeData, mined: MinedCases) -> RecipeData:
    """Return the data sets that the recipe's own training learns from, with the labels that were mined."""
    known = zip(run.recipe.first_round.datasets, data.experts, strict=True)
    chosen = data.only([expert for name, expert in known if name in run.recipe.datasets])
    old = chosen.training_set
    taught = TrainingSet(mined.taught(old.cases), old.scopes, uses_unlabelled=mining.uses_unlabelled)
    digest = fingerprint(chosen.digest, mined.digest, mining.uses_unlabelled)
    return replace(chosen, training_set=taught, digest=digest)
