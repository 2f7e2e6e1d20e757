"""The mining stage of a recipe: train a first detector, detect in its universal training scans, mine, and label anew.

Everything is kept below `first-round`: the detector's checkpoint, for each scan a file of detections and one of the
vectors that are compared, and the labels; a second round leaves the same below `second-round`. What is there already is
not done again. A scan that cannot be read is left out, up to a share that the recipe states.

Only universal cases are mined, patient by patient. Patients of two data sets are never known to be the same person, so
that single-type cases have no annotation to lend and are not looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from lens_engine.checkpoint_card import MeasuredLimit, read_card
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint
from lens_engine.errors import GeometryError, SeriesError
from lens_engine.findings import Scope
from lens_engine.lesion_embedding.embedding import LesionEmbedder
from lens_engine.lesion_embedding.vector_files import VectorFiles
from lens_engine.mining.calibration import calibrate_distance_limit
from lens_engine.mining.reports.counts import LabelCounts, count_all, count_rules, count_steps
from lens_engine.mining.strategies.choice import StrategySettings, mine_labels
from lens_engine.mining.strategies.labels import MinedLabels
from lens_engine.mining.strategies.lens import LensSettings, LensStep
from lens_engine.mining.strategies.meld import MeldSettings
from lens_training.datasets.case import Case, TrainingSet
from lens_training.datasets.unreadable import UnreadableScans
from lens_training.recipes.mining import ROUND_NAMES, MiningRecipe
from lens_training.reproduction.case_detections import LOOK_VERSION, CaseDetector, DetectionFiles
from lens_training.reproduction.case_inputs import CaseInputs, RoundFiles, embed_cases
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
from lens_training.reproduction.recipe_embedding import ChosenEmbedding, choose_embedding
from lens_training.reproduction.scan_copies import CopyPlan
from lens_training.running.fingerprint import fingerprint
from lens_training.running.progress import ProgressLog, Stage
from lens_training.running.stopping import StopSignal

DETECTIONS_FOLDER = "detections"
EMBEDDINGS_FOLDER = "embeddings"
LABELS_FILE = "labels.jsonl"
_MATCHING = LensSettings | MeldSettings


@dataclass(frozen=True, slots=True, eq=False)
class MinedData:
    """What the recipe's own training learns from, and what mining said about it in each round."""

    data: RecipeData
    reports: tuple[MiningReport, ...]


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
    rounds = _Rounds(run, mining, _mined_cases(data), log, stop, resume)
    learnt, reports = data, []
    for name in ROUND_NAMES[: mining.rounds]:
        mined = rounds.labels(name, rounds.detections(name, learnt))
        learnt = _taught(mining, data, mined)
        reports.append(mined.report)
    known = zip(run.recipe.first_round.datasets, data.experts, strict=True)
    own = learnt.only([expert for name, expert in known if name in run.recipe.datasets])
    return MinedData(own, tuple(reports))


def make_first_round(
    run: RecipeRun, mining: MiningRecipe, data: RecipeData, log: ProgressLog, stop: StopSignal, *, resume: bool
) -> None:
    """Train the first detector and detect with it, for all points of a sweep; see `mine_before_training`."""
    _Rounds(run, mining, _mined_cases(data), log, stop, resume).detections(ROUND_NAMES[0], data)


def mine_cases(
    cases: Sequence[Case], files: RoundFiles, mining: MiningRecipe, log: ProgressLog, stop: StopSignal
) -> MinedCases:
    """Mine cases with what a detector said about them, patient by patient, and count what it gives.

    Raises
    ------
    TrainingStoppedError
        If the process was asked to end.
    TrainingError, StoreError
        If the detections or the vectors of a case cannot be read.
    """
    source = CaseInputs(cases, files)
    settings, note = _calibrated(mining, source, None if files.embedding is None else files.embedding.distance_limit)
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
    limit = settings.distance_limit if mining.matches and isinstance(settings, _MATCHING) else None
    report = MiningReport(
        strategy=mining.strategy,
        distance_limit=limit,
        limit_note=note,
        embedding=files.embedding,
        counts=_counts(mined, settings),
    )
    return MinedCases(report, tuple(labels))


def _mined_cases(data: RecipeData) -> tuple[Case, ...]:
    scopes = data.training_set.scopes
    return tuple(case for case in data.training_set.cases if scopes[case.dataset] is Scope.UNIVERSAL)


@dataclass(frozen=True, slots=True, eq=False)
class _Rounds:
    """What every round does, with the cases that are mined."""

    run: RecipeRun
    mining: MiningRecipe
    cases: Sequence[Case]
    log: ProgressLog
    stop: StopSignal
    resume: bool

    def detections(self, name: str, data: RecipeData) -> DetectionFiles:
        """Train the detector of a round and detect in every case, unless all points of a sweep share both."""
        folder = (self.run.rounds_folder or self.run.folder) / name
        if self.run.rounds_folder is None:
            folder.mkdir(exist_ok=True)
            trained = replace(self.run, recipe=self.run.recipe.first_round, folder=folder)
            train_detector(trained, data, self.log, self.stop, resume=self.resume)
        plan = CopyPlan(self.mining.copies, self.run.recipe.augmentation, self.run.seed)
        digest = read_card(folder).weights_digest
        made_by = fingerprint(LOOK_VERSION, digest, data.digest, self.run.inference.precision, plan.digest)
        files = DetectionFiles(folder / DETECTIONS_FOLDER, made_by, plan.count)
        if self.run.rounds_folder is None:
            self._detect(folder, files, plan)
        return files

    def _detect(self, folder: Path, files: DetectionFiles, plan: CopyPlan) -> None:
        """Detect in every case that is not done; scans that cannot be read are named and left out."""
        missing = [case for case in self.cases if not (self.resume and files.has(case))]
        if not missing:
            return
        model, _ = load_checkpoint(folder, compute_device())
        detector = CaseDetector(model, self.run.inference, plan)
        unreadable = UnreadableScans(len(self.cases), self.run.recipe.sampling.unreadable_share)
        for done, case in enumerate(missing, len(self.cases) - len(missing)):
            self.stop.check()
            self.log.report(Stage.DETECT, done, len(self.cases))
            try:
                found = detector.look_at(case)
            except (SeriesError, GeometryError) as error:
                unreadable.add(done, case.name, error)
            else:
                files.write(case, found)
        self.log.report(Stage.DETECT, len(self.cases), len(self.cases))

    def labels(self, name: str, files: DetectionFiles) -> MinedCases:
        """Embed what is compared and mine with the detections of a round, unless it is done."""
        path = self.run.folder / name / LABELS_FILE
        chosen = embedding_of(self.run)
        weights = None if chosen is None else chosen.used.weights
        made_from = fingerprint(files.fingerprint, self.mining.model_dump(mode="json"), weights)
        if self.resume and is_mined(path, made_from):
            return load_mined(path)
        cases = [case for case in self.cases if files.has(case)]
        known = RoundFiles(files) if chosen is None else self._embedded(name, cases, files, chosen)
        mined = mine_cases(cases, known, self.mining, self.log, self.stop)
        path.parent.mkdir(exist_ok=True)  # of a point of a sweep
        mined.save(path, made_from)
        return mined

    def _embedded(self, name: str, cases: Sequence[Case], files: DetectionFiles, chosen: ChosenEmbedding) -> RoundFiles:
        folder = (self.run.rounds_folder or self.run.folder) / name / EMBEDDINGS_FOLDER
        known = RoundFiles(files, VectorFiles(folder, chosen.used.weights, files.fingerprint), chosen.used)
        embedder = LesionEmbedder(chosen.folder, compute_device())
        embed_cases(cases, known, self.mining.complete_settings, embedder, self.log, self.stop)
        return known


def embedding_of(run: RecipeRun) -> ChosenEmbedding | None:
    """Return the lesion embedding that a recipe mines with; None where it matches nothing.

    Raises
    ------
    CheckpointError
        If a folder holds no lesion embedding that this version understands.
    """
    mining = run.recipe.mining
    if mining is None or not mining.matches:
        return None
    return choose_embedding(mining.embedding, (run.rounds_folder or run.folder).parent, run.embedding)


def _calibrated(
    mining: MiningRecipe, source: CaseInputs, measured: MeasuredLimit | None
) -> tuple[StrategySettings, str]:
    """Return the settings with the limit that is used, and a note about where it comes from."""
    settings = mining.complete_settings
    if not isinstance(settings, _MATCHING) or not mining.calibrates_limit:
        return settings, ""
    rules = settings.rules
    patients = islice(source.patients, rules.calibration_patients)
    series = (part for patient in patients for part in source.of(patient))
    limit = calibrate_distance_limit(series, rules, measured)
    return replace(settings, distance_limit=limit.value), limit.note


def _counts(mined: Sequence[MinedLabels], settings: StrategySettings) -> tuple[LabelCounts, ...]:
    """Return the rows of LENS Table IV where the mining went all the way, otherwise one for each rule and their sum."""
    if isinstance(settings, LensSettings) and settings.up_to is LensStep.UNLABELLED:
        return count_steps(mined)
    return (*count_rules(mined), count_all("all", mined))


def _taught(mining: MiningRecipe, data: RecipeData, mined: MinedCases) -> RecipeData:
    """Return the data with the labels that were mined."""
    old = data.training_set
    taught = TrainingSet(mined.taught(old.cases), old.scopes, uses_unlabelled=mining.uses_unlabelled)
    digest = fingerprint(data.digest, mined.digest, mining.uses_unlabelled)
    return replace(data, training_set=taught, digest=digest)
