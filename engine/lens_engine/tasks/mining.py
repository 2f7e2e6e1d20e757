"""The mining task: reads what is stored about each series, mines patient by patient, stores one run of candidates."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lens_engine.errors import StoreError
from lens_engine.findings import Candidate, Rule, Scope
from lens_engine.io.atomic_files import replacement_of
from lens_engine.jobs.results import MineResult
from lens_engine.mining.calibration import calibrate_distance_limit
from lens_engine.mining.candidates import mine
from lens_engine.mining.inputs import AnnotationOnSeries, SeriesMiningInput
from lens_engine.mining.settings import MiningSettings
from lens_engine.store.annotations import AnnotationRole, Annotations
from lens_engine.store.candidates import Candidates
from lens_engine.store.catalog import Catalog, SeriesRecord
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.detections import Detections
from lens_engine.store.labels.completeness import accepted_lesions
from lens_engine.tasks.lesion_embedding import BoxEmbeddings
from lens_engine.worker.messages import MineSeries

logger = logging.getLogger("lens_engine.tasks.mining")


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


def lesions_of_series(
    database: Database, series_id: int, vectors: SeriesEmbeddings, partners: Mapping[int | None, int] | None = None
) -> SeriesLesions:
    """Return what is known of one series now; what came after the embeddings has none, and is no partner.

    Parameters
    ----------
    partners
        The annotation that a decided lesion is the same as, by the candidate of the decision; see `known_partners`.
    """
    partners = partners or {}
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


def known_partners(database: Database) -> dict[int | None, int]:
    """Return the annotation that each decided candidate was matched with: the nearest one, by the candidate's id."""
    return {
        candidate: reason.annotation_id
        for candidate, reasons in Candidates(database).reasons_of_decided().items()
        for reason in reasons
        if reason.rule is Rule.INTRA_PATIENT and reason.annotation_id is not None
    }


def _lesion_of(annotation_id: int | None) -> str | None:
    return None if annotation_id is None else f"annotation {annotation_id}"


def mine_series(
    database: Database,
    embeddings: Embeddings,
    boxes: BoxEmbeddings,
    task: MineSeries,
    report: Callable[[int, int], None],
) -> MineResult:
    """Find the distance limit over all patients, mine each of them, and store the candidates as one run."""
    source = _Inputs(database, embeddings, boxes, task.model_version)
    by_patient: dict[int, list[SeriesRecord]] = defaultdict(list)
    for series_id in task.series_ids:
        record = Catalog(database).series(series_id)
        by_patient[record.patient_id].append(record)
    settings = MiningSettings()
    limit = calibrate_distance_limit(source.of(series for group in by_patient.values() for series in group), settings)
    logger.info("%s", limit.note)
    candidates: list[Candidate] = []
    priorities: list[float] = []
    for done, group in enumerate(by_patient.values()):
        report(done, len(by_patient))
        mined = mine(list(source.of(group)), settings, limit)
        candidates += mined.candidates
        priorities += mined.priorities
    store = Candidates(database)
    run = store.replace_open(task.model_version, candidates, priorities)
    logger.info("mining run %d: %d candidates in %d series", run, len(candidates), len(task.series_ids))
    return MineResult(
        model_version=task.model_version,
        mining_run=run,
        series=len(task.series_ids),
        candidates=len(candidates),
        by_reason={rule.value: count for rule, count in store.counts_by_reason().items()},
        distance_limit=limit.value,
        limit_note=limit.note,
    )


class _Inputs:
    """Reads the mining inputs of series, one at a time: a project's proposals do not fit into memory together."""

    def __init__(self, database: Database, embeddings: Embeddings, boxes: BoxEmbeddings, model_version: str) -> None:
        self._boxes = boxes
        self._partners = known_partners(database)
        self._detections = Detections(database)
        self._database = database
        self._embeddings = embeddings
        self._model_version = model_version
        self._scopes = {dataset.name: dataset.scope for dataset in Catalog(database).datasets()}

    def of(self, records: Iterable[SeriesRecord]) -> Iterator[SeriesMiningInput]:
        """Yield the input of each series."""
        universal = tuple(name for name, scope in self._scopes.items() if scope is Scope.UNIVERSAL)
        for record in records:
            found = self._detections.read(record.id, self._model_version)
            known = lesions_of_series(self._database, record.id, self._embeddings.read(record.id), self._partners)
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
                universal_experts=universal,
            )


def _slices(record: SeriesRecord) -> int:
    if record.geometry is None:
        raise StoreError(f"The series {record.name} has no geometry", "Mining needs its images", "Add its scan")
    return record.geometry.shape[0]
