"""The mining task: reads what is stored about each series, mines patient by patient, stores one run of candidates."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lens_engine.errors import StoreError
from lens_engine.findings import Candidate, Scope
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
from lens_engine.store.detections import Detections
from lens_engine.worker.messages import MineSeries

logger = logging.getLogger("lens_engine.tasks.mining")


class Embeddings:
    """Embeddings of the annotations of each series, kept as files of the job that computed them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def exists(self, series_id: int) -> bool:
        """Return whether those of a series are there."""
        return self._path(series_id).exists()

    def write(self, series_id: int, annotation_ids: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """Store (n, d) vectors of unit length, in the order of `annotation_ids`.

        Raises
        ------
        StoreError
            If the disk refuses.
        """
        try:
            with replacement_of(self._path(series_id)) as temporary, temporary.open("wb") as file:
                np.savez(file, ids=np.asarray(annotation_ids, dtype=np.int64), vectors=vectors)
        except OSError as error:
            raise StoreError(
                f"The embeddings of series {series_id} cannot be written ({error.strerror})",
                "A disk with free space and write access",
                "Free space on the disk of the project, and start the mining again",
            ) from error

    def read(self, series_id: int) -> dict[int, NDArray[np.float32]]:
        """Return the vector of each annotation."""
        try:
            with np.load(self._path(series_id)) as stored:
                return dict(zip(stored["ids"].tolist(), stored["vectors"], strict=True))
        except (OSError, ValueError) as error:
            raise StoreError(
                f"The embeddings of series {series_id} cannot be read",
                "They are made by an earlier step of the same job",
                "Start the mining again",
            ) from error

    def _path(self, series_id: int) -> Path:
        return self._folder / f"{series_id}.npz"


def mine_series(
    database: Database, embeddings: Embeddings, task: MineSeries, report: Callable[[int, int], None]
) -> MineResult:
    """Find the distance limit over all patients, mine each of them, and store the candidates as one run."""
    source = _Inputs(database, embeddings, task.model_version)
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

    def __init__(self, database: Database, embeddings: Embeddings, model_version: str) -> None:
        self._detections = Detections(database)
        self._annotations = Annotations(database)
        self._embeddings = embeddings
        self._model_version = model_version
        self._scopes = {dataset.name: dataset.scope for dataset in Catalog(database).datasets()}

    def of(self, records: Iterable[SeriesRecord]) -> Iterator[SeriesMiningInput]:
        """Yield the input of each series."""
        universal = tuple(name for name, scope in self._scopes.items() if scope is Scope.UNIVERSAL)
        for record in records:
            found = self._detections.read(record.id, self._model_version)
            yield SeriesMiningInput(
                series_id=record.id,
                patient_id=record.patient_id,
                study_id=record.study_id,
                slices=_slices(record),
                proposals=found.proposals,
                findings=found.findings,
                annotations=self._annotations_of(record),
                scope=self._scopes[record.dataset],
                universal_experts=universal,
            )

    def _annotations_of(self, record: SeriesRecord) -> tuple[AnnotationOnSeries, ...]:
        vectors = self._embeddings.read(record.id)
        return tuple(
            AnnotationOnSeries(item.id, item.box, item.slices, item.key_slice, vectors.get(item.id))
            for item in self._annotations.of_series(record.id, AnnotationRole.LABEL)
        )


def _slices(record: SeriesRecord) -> int:
    if record.geometry is None:
        raise StoreError(f"The series {record.name} has no geometry", "Mining needs its images", "Add its scan")
    return record.geometry.shape[0]
