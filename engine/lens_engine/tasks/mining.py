"""The tasks of a mining: the distance limit, batches of patients one after the other, and one run of candidates."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lens_engine.errors import StoreError
from lens_engine.findings import Rule, Scope
from lens_engine.io.atomic_files import replacement_of
from lens_engine.jobs.results import LabelCount, MineResult
from lens_engine.mining.calibration import calibrate_distance_limit
from lens_engine.mining.candidates import mine_with_labels
from lens_engine.mining.inputs import AnnotationOnSeries, SeriesMiningInput
from lens_engine.mining.reports.counts import LabelCounts, count_steps, sum_counts
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.threshold_calibration import calibrate_thresholds
from lens_engine.store.annotations import AnnotationRole, Annotations
from lens_engine.store.candidates import Candidates
from lens_engine.store.catalog import Catalog, SeriesRecord
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.detections import Detections
from lens_engine.store.labels.completeness import accepted_lesions
from lens_engine.tasks.lesion_embedding import BoxEmbeddings
from lens_engine.tasks.mining_files import CalibratedRules, MinedPatient, MiningFiles
from lens_engine.worker.messages import CalibrateRules, MinePatients, StoreCandidates

logger = logging.getLogger("lens_engine.tasks.mining")

Report = Callable[[int, int], None]
Thing = TypeVar("Thing")
Vectors = dict[int, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class SeriesEmbeddings:
    """The vector of each annotation of a series, and of each lesion that a reader decided there, by their ids."""

    annotations: Vectors
    decided: Vectors


class Embeddings:
    """Embeddings of the known lesions of each series, kept as files of the job that computed them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def exists(self, series_id: int) -> bool:
        """Return whether those of a series are there."""
        return self._path(series_id).exists()

    def write(
        self,
        series_id: int,
        annotation_ids: Sequence[int],
        vectors: NDArray[np.float32],
        decision_ids: Sequence[int] = (),
    ) -> None:
        """Store (n, d) vectors of unit length, in the order of `annotation_ids` and then of `decision_ids`.

        Raises
        ------
        StoreError
            If the disk refuses.
        """
        try:
            with replacement_of(self._path(series_id)) as temporary, temporary.open("wb") as file:
                ids, decided = (np.asarray(given, dtype=np.int64) for given in (annotation_ids, decision_ids))
                np.savez(file, ids=ids, decision_ids=decided, vectors=vectors)
        except OSError as error:
            raise StoreError(
                f"The embeddings of series {series_id} cannot be written ({error.strerror})",
                "A disk with free space and write access",
                "Free space on the disk of the project, and start the mining again",
            ) from error

    def read(self, series_id: int) -> SeriesEmbeddings:
        """Return the vectors; a job that an earlier version began kept those of annotations only."""
        try:
            with np.load(self._path(series_id)) as stored:
                ids, vectors = stored["ids"].tolist(), stored["vectors"]
                decided = stored["decision_ids"].tolist() if "decision_ids" in stored.files else []
                return SeriesEmbeddings(
                    annotations=dict(zip(ids, vectors[: len(ids)], strict=True)),
                    decided=dict(zip(decided, vectors[len(ids) :], strict=True)),
                )
        except (OSError, ValueError) as error:
            raise StoreError(
                f"The embeddings of series {series_id} cannot be read",
                "They are made by an earlier step of the same job",
                "Start the mining again",
            ) from error

    def _path(self, series_id: int) -> Path:
        return self._folder / f"{series_id}.npz"


@dataclass(frozen=True, slots=True)
class SeriesLesions:
    """The labels of a series, and what readers decided as a lesion there."""

    annotations: tuple[AnnotationOnSeries, ...]
    decided: tuple[AnnotationOnSeries, ...]


def lesions_of_series(database: Database, series_id: int, vectors: SeriesEmbeddings) -> SeriesLesions:
    """Return what is known of one series now; what came after the embeddings has none, and is no partner."""
    partners = _known_partners(database, series_id)
    labels = Annotations(database).of_series(series_id, AnnotationRole.LABEL)
    decided = accepted_lesions(Decisions(database).current(series_id))
    return SeriesLesions(
        tuple(
            AnnotationOnSeries(a.id, a.box, a.slices, a.key_slice, vectors.annotations.get(a.id), _lesion_of(a.id))
            for a in labels
        ),
        tuple(
            AnnotationOnSeries(
                d.id,
                d.box,
                d.decision.slices,
                None,
                vectors.decided.get(d.id),
                _lesion_of(partners.get(d.candidate_id)),
            )
            for d in decided
        ),
    )


def _known_partners(database: Database, series_id: int) -> dict[int | None, int]:
    """Return the annotation that each decided candidate of a series was matched with, by the candidate's id."""
    return {
        candidate: reason.annotation_id
        for candidate, reasons in Candidates(database).reasons_of_decided(series_id).items()
        for reason in reasons
        if reason.rule is Rule.INTRA_PATIENT and reason.annotation_id is not None
    }


def _lesion_of(annotation_id: int | None) -> str | None:
    return None if annotation_id is None else f"annotation {annotation_id}"


class MiningInputs:
    """Reads the mining inputs of series, one at a time: a project's proposals do not fit into memory together."""

    def __init__(self, database: Database, embeddings: Embeddings, boxes: BoxEmbeddings, model_version: str) -> None:
        self._boxes = boxes
        self._detections = Detections(database)
        self._database = database
        self._embeddings = embeddings
        self._model_version = model_version
        self._scopes = {dataset.name: dataset.scope for dataset in Catalog(database).datasets()}

    def by_patient(self, series_ids: Sequence[int]) -> dict[int, list[SeriesRecord]]:
        """Return series by patient, both in the order given."""
        by_patient: dict[int, list[SeriesRecord]] = {}
        for record in Catalog(self._database).some_series(series_ids):
            by_patient.setdefault(record.patient_id, []).append(record)
        return by_patient

    def of(self, records: Iterable[SeriesRecord]) -> Iterator[SeriesMiningInput]:
        """Yield the input of each series."""
        universal = tuple(name for name, scope in self._scopes.items() if scope is Scope.UNIVERSAL)
        for record in records:
            found = self._detections.read(record.id, self._model_version)
            known = lesions_of_series(self._database, record.id, self._embeddings.read(record.id))
            yield SeriesMiningInput(
                series_id=record.id,
                patient_id=record.patient_id,
                study_id=record.study_id,
                slices=_slices(record),
                proposals=self._boxes.embedded(record.id, found.proposals),
                findings=found.findings,
                annotations=known.annotations,
                decided=known.decided,
                scope=self._scopes[record.dataset],
                dataset=record.dataset,
                universal_experts=universal,
            )

    def of_single_types(self, patients: Iterable[Sequence[SeriesRecord]]) -> Iterator[SeriesMiningInput]:
        """Yield the input of each series of a single-type data set."""
        records = (record for group in patients for record in group)
        yield from self.of(record for record in records if self._scopes[record.dataset] is Scope.SINGLE_TYPE)


def _slices(record: SeriesRecord) -> int:
    if record.geometry is None:
        raise StoreError(f"The series {record.name} has no geometry", "Mining needs its images", "Add its scan")
    return record.geometry.shape[0]


def calibrate_rules(
    source: MiningInputs, files: MiningFiles, task: CalibrateRules, report: Report
) -> dict[str, object]:
    """Find the distance limit and the experts' thresholds, and keep them; those that are kept already stay.

    As many patients as the settings want are compared.
    """
    skipped = files.has_rules()
    if not skipped:
        settings = MiningSettings()
        patients = source.by_patient(task.series_ids).values()
        records = [series for group in islice(patients, settings.calibration_patients) for series in group]
        limit = calibrate_distance_limit(source.of(_reported(records, report)), settings)
        thresholds = calibrate_thresholds(source.of_single_types(patients), settings)
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
