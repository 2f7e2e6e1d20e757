"""What the mining of a project reads: known lesions, detections and their vectors, one series at a time."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from lens_engine.errors import StoreError
from lens_engine.findings import Rule, Scope
from lens_engine.lesion_embedding.vector_files import VectorFiles
from lens_engine.mining.inputs import AnnotationOnSeries, SeriesMiningInput
from lens_engine.mining.looks import SeriesLesions
from lens_engine.store.annotations import AnnotationRole, Annotations
from lens_engine.store.candidates import Candidates
from lens_engine.store.catalog import Catalog, SeriesRecord
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.detections import Detections
from lens_engine.store.labels.completeness import accepted_lesions


def lesions_of_series(database: Database, series_id: int) -> SeriesLesions:
    """Return what is known of one series now, without vectors."""
    partners = _known_partners(database, series_id)
    labels = Annotations(database).of_series(series_id, AnnotationRole.LABEL)
    decided = accepted_lesions(Decisions(database).current(series_id))
    return SeriesLesions(
        tuple(AnnotationOnSeries(a.id, a.box, a.slices, a.key_slice, lesion=_lesion_of(a.id)) for a in labels),
        tuple(
            AnnotationOnSeries(d.id, d.box, d.decision.slices, lesion=_lesion_of(partners.get(d.candidate_id)))
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

    def __init__(self, database: Database, vectors: VectorFiles, model_version: str) -> None:
        self._detections = Detections(database)
        self._database = database
        self._vectors = vectors
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
            vectors = self._vectors.read(str(record.id))
            known = vectors.of_lesions(lesions_of_series(self._database, record.id))
            yield SeriesMiningInput(
                series_id=record.id,
                patient_id=record.patient_id,
                study_id=record.study_id,
                slices=_slices(record),
                proposals=vectors.of_boxes(found.proposals),
                findings=found.findings,
                annotations=known.annotations,
                decided=known.decided,
                scope=self._scopes[record.dataset],
                dataset=record.dataset,
                universal_experts=universal,
            )

    def of_single_types(self, patients: Iterable[Sequence[SeriesRecord]], at_most: int) -> list[SeriesRecord]:
        """Return the first labelled series of each single-type data set, without reading what was found in any.

        Where none is labelled, the first series of them all comes alone: it still tells which experts there are.
        """
        annotations, labelled = Annotations(self._database), Counter[str]()
        records = [record for group in patients for record in group]
        singles = [record for record in records if self._scopes[record.dataset] is Scope.SINGLE_TYPE]
        chosen = []
        for record in singles:
            if labelled[record.dataset] < at_most and annotations.of_series(record.id, AnnotationRole.LABEL):
                labelled[record.dataset] += 1
                chosen.append(record)
        return chosen or singles[:1]


def _slices(record: SeriesRecord) -> int:
    if record.geometry is None:
        raise StoreError(f"The series {record.name} has no geometry", "Mining needs its images", "Add its scan")
    return record.geometry.shape[0]
