"""The tasks of a mining: the distance limit, batches of patients one after the other, and one run of candidates."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import islice
from typing import TypeVar

from lens_engine.checkpoint_card import MeasuredLimit
from lens_engine.findings import Scope
from lens_engine.jobs.results import LabelCount, MineResult
from lens_engine.mining.calibration import calibrate_distance_limit
from lens_engine.mining.candidates import mine_with_labels
from lens_engine.mining.inputs import SeriesMiningInput
from lens_engine.mining.reports.counts import LabelCounts, count_steps, sum_counts
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.threshold_calibration import calibrate_thresholds
from lens_engine.store.candidates import Candidates
from lens_engine.store.database import Database
from lens_engine.tasks.mining_files import CalibratedRules, MinedPatient, MiningFiles
from lens_engine.tasks.mining_inputs import MiningInputs
from lens_engine.worker.messages import CalibrateRules, MinePatients, StoreCandidates

logger = logging.getLogger("lens_engine.tasks.mining")

Report = Callable[[int, int], None]
Thing = TypeVar("Thing")


def calibrate_rules(
    source: MiningInputs, files: MiningFiles, task: CalibrateRules, report: Report, measured: MeasuredLimit | None
) -> dict[str, object]:
    """Find the distance limit and the experts' thresholds, and keep them; those that are kept already stay.

    As many patients as the settings want are compared.

    Parameters
    ----------
    measured
        What the card of the embedding says about its limit, for a project with too few patients; None if nothing.
    """
    skipped = files.has_rules()
    if not skipped:
        settings = MiningSettings()
        patients = source.by_patient(task.series_ids).values()
        records = [series for group in islice(patients, settings.calibration_patients) for series in group]
        labelled = source.of_single_types(patients, settings.calibration_patients)
        looks = _reported([*records, *labelled], report)
        limit = calibrate_distance_limit(source.of(islice(looks, len(records))), settings, measured)
        thresholds = calibrate_thresholds(source.of(looks), settings)
        logger.info("%s %s", limit.note, thresholds.note)
        calibrated = replace(settings, uncertain_min_scores=thresholds.values)
        files.write_rules(CalibratedRules(calibrated, limit, thresholds.note))
    return {"distance_limit": files.read_rules().limit.value, "skipped": skipped}


def mine_patients(source: MiningInputs, files: MiningFiles, task: MinePatients, report: Report) -> dict[str, object]:
    """Mine one patient after the other into the file of the batch; a batch that is mined is left alone."""
    patients = source.by_patient(task.series_ids)
    skipped = files.has_batch(task.batch)
    if not skipped:
        started = time.monotonic()
        rules = files.read_rules()
        groups = _reported(list(patients.values()), report)
        files.write_batch(task.batch, (_mine_patient(tuple(source.of(group)), rules) for group in groups))
        seconds = time.monotonic() - started
        logger.info("mined batch %d: %d patients in %.1f s", task.batch, len(patients), seconds)
    return {"patients": len(patients), "skipped": skipped}


def store_candidates(database: Database, files: MiningFiles, task: StoreCandidates, report: Report) -> MineResult:
    """Store the candidates of all batches as one run, and say what was found."""
    rules, total = files.read_rules(), _Total()
    batches = list(range(task.batches))
    patients = (patient for batch in _reported(batches, report) for patient in files.read_batch(batch))
    found = (pair for patient in patients for pair in zip(patient.candidates, patient.priorities, strict=True))
    store = Candidates(database)
    run = store.store_run(task.model_version, task.begun_at, found)
    for batch in batches:
        for patient in files.read_batch(batch):
            total.add(patient)
    logger.info("mining run %d: %d candidates in %d series", run, total.candidates, task.series)
    return MineResult(
        model_version=task.model_version,
        mining_run=run,
        series=task.series,
        patients=total.patients,
        candidates=total.candidates,
        by_reason={rule.value: count for rule, count in store.counts_by_reason().items()},
        distance_limit=rules.limit.value,
        limit_note=rules.limit.note,
        threshold_note=rules.threshold_note,
        label_counts=tuple(LabelCount(**asdict(row)) for row in total.counts),
        notes=total.notes(),
    )


class _Total:
    """Numbers of all patients together."""

    def __init__(self) -> None:
        self.patients = 0
        self.candidates = 0
        self.counts: tuple[LabelCounts, ...] = ()
        self._has_partners = False

    def add(self, patient: MinedPatient) -> None:
        """Count one more patient."""
        self.patients += 1
        self.candidates += len(patient.candidates)
        self.counts = sum_counts([self.counts, patient.counts]) if self.counts else patient.counts
        self._has_partners |= patient.has_partners

    def notes(self) -> tuple[str, ...]:
        """Return which rules had nothing to work with."""
        notes = []
        if not any(row.lesions for row in self.counts[:1]):
            notes.append("No lesion of the mined series is annotated: nothing can be continued on other slices.")
        if not self._has_partners:
            notes.append("No patient has a known lesion and another series: nothing can be matched within a patient.")
        return tuple(notes)


def _mine_patient(inputs: Sequence[SeriesMiningInput], rules: CalibratedRules) -> MinedPatient:
    mined, labels = mine_with_labels(inputs, rules.settings, rules.limit)
    return MinedPatient(mined.candidates, mined.priorities, count_steps(labels), _has_partners(inputs))


def _has_partners(inputs: Sequence[SeriesMiningInput]) -> bool:
    mined = {series.series_id for series in inputs if series.scope is Scope.UNIVERSAL}
    known = {series.series_id for series in inputs if series.annotations or series.decided}
    return any(mined - {series_id} for series_id in known)


def _reported(things: Sequence[Thing], report: Report) -> Iterator[Thing]:
    """Yield things, and tell before each how many are done; a cancel ends there."""
    for done, thing in enumerate(things):
        report(done, len(things))
        yield thing
