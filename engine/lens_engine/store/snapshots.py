"""Labels and decisions of a project frozen into what training reads, each snapshot under the hash of its content.

Precedence at one place: decided as a lesion > unsure (ignored as a whole) > rejected (certain negative for the expert
of the data set) > mined and not reviewed (missing annotation: positive; uncertain: ignored). Original annotations are
always positive, doubtful ones ignored. Test patients never enter.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from lens_engine.errors import StoreError
from lens_engine.findings import Box3D, CandidateKind, ReasonCode, Rule, SliceBox, Split, Verdict
from lens_engine.snapshot import (
    LabelSet,
    Lesion,
    LesionOrigin,
    LesionRole,
    Snapshot,
    SnapshotSeries,
    SnapshotSlice,
    SnapshotSource,
)
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRecord, AnnotationRole, Annotations
from lens_engine.store.candidates import CandidateRecord, Candidates
from lens_engine.store.catalog import Catalog, SeriesRecord
from lens_engine.store.completeness import POSITIVE_VERDICTS, true_boxes
from lens_engine.store.database import Database
from lens_engine.store.decision_rules import is_same_place
from lens_engine.store.decisions import DecisionRecord, Decisions
from lens_engine.store.schema import SnapshotRow

ID_LENGTH = 12
_TIGHT_ORIGINS = frozenset({AnnotationOrigin.INSTANCE_MASK, AnnotationOrigin.RTSTRUCT})


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """A frozen set of labels.

    Attributes
    ----------
    id
        First digits of the hash of the content.
    counts
        What there is to learn from in the training split, by words for a reader.
    """

    id: str
    name: str
    path: Path
    label_set: LabelSet
    counts: dict[str, int]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The snapshots of one project."""

    database: Database

    def freeze(self, label_set: LabelSet, name: str | None = None) -> SnapshotRecord:
        """Freeze the labels as they are now; unchanged labels give the snapshot that exists already.

        Raises
        ------
        StoreError
            If no training patient has any lesion to learn from, or the file cannot be written.
        """
        snapshot = self._compose(label_set)
        counts = _counts(snapshot)
        snapshot_id = snapshot.digest[:ID_LENGTH]
        path = self.path(snapshot_id)
        try:
            if not path.exists():
                snapshot.save(path)
        except OSError as error:
            raise StoreError(
                f"The snapshot cannot be written ({error.strerror})",
                "A disk with free space and write access",
                "Free space on the disk of the project; nothing was stored",
            ) from error
        values = SnapshotRow(
            id=snapshot_id,
            name=name or snapshot_id,
            label_set=label_set,
            path=path.relative_to(self.database.project.folder).as_posix(),
            counts=dict(counts),
            created_at=datetime.now(UTC),
        )
        with self.database.session() as session:
            row = session.get(SnapshotRow, snapshot_id)
            if row is None:
                try:
                    with session.begin_nested():
                        session.add(values)
                    row = values
                except IntegrityError:  # another process froze the same labels a moment ago
                    row = session.get_one(SnapshotRow, snapshot_id)
            return self._record(row)

    def read(self, snapshot_id: str) -> Snapshot:
        """Return the frozen labels.

        Raises
        ------
        StoreError
            If there is no such snapshot, or its file was changed.
        AnnotationFileError
            If its file is missing or broken.
        """
        snapshot = Snapshot.load(self.get(snapshot_id).path)
        if snapshot.digest[:ID_LENGTH] != snapshot_id:
            raise StoreError(
                f"The file of snapshot {snapshot_id} has the hash {snapshot.digest[:ID_LENGTH]}",
                "A frozen snapshot is never changed",
                "Restore the file from a backup or freeze again",
            )
        return snapshot

    def path(self, snapshot_id: str) -> Path:
        """Return where the file of a snapshot lies."""
        return self.database.project.snapshots_folder / f"{snapshot_id}.json"

    def get(self, snapshot_id: str) -> SnapshotRecord:
        """Return one snapshot's record.

        Raises
        ------
        StoreError
            If there is none with this id.
        """
        with self.database.reading() as session:
            row = session.get(SnapshotRow, snapshot_id)
            if row is None:
                raise StoreError(
                    f"There is no snapshot {snapshot_id!r}",
                    "A snapshot of this project",
                    "Freeze the labels: lens retrain",
                )
            return self._record(row)

    def all(self) -> tuple[SnapshotRecord, ...]:
        """Return all snapshots, oldest first."""
        with self.database.reading() as session:
            rows = session.scalars(select(SnapshotRow).order_by(SnapshotRow.created_at, SnapshotRow.id))
            return tuple(self._record(row) for row in rows)

    def _compose(self, label_set: LabelSet) -> Snapshot:
        catalog = Catalog(self.database)
        datasets = catalog.datasets()
        annotations = _grouped(Annotations(self.database).all())
        decided: dict[int, list[DecisionRecord]] = {}
        for decision in Decisions(self.database).current():
            decided.setdefault(decision.decision.series_id, []).append(decision)
        decisions = decided if label_set is LabelSet.CURATED else {}
        candidates: dict[int, list[CandidateRecord]] = {}
        if label_set is not LabelSet.ORIGINAL:
            queue = Candidates(self.database).queue(include_decided=True)
            for candidate in sorted(queue, key=lambda record: record.id):
                if label_set is LabelSet.MINED or candidate.decision is None:
                    candidates.setdefault(candidate.candidate.series_id, []).append(candidate)
        continued = self._continued_annotations(decisions)
        series = tuple(
            _series(
                record,
                annotations.get(record.id, ()),
                [
                    *_decided(record, decisions.get(record.id, ()), annotations.get(record.id, ()), continued),
                    *_mined(record, candidates.get(record.id, ())),
                ],
                true_boxes(annotations.get(record.id, ()), decided.get(record.id, ())) if record.is_complete else (),
            )
            for record in catalog.all_series(with_images=True)
            if record.split is not Split.TEST
        )
        snapshot = Snapshot(
            experts=tuple(dataset.name for dataset in datasets),
            scopes=tuple(dataset.scope for dataset in datasets),
            series=series,
            labels=label_set,
        )
        if not any(
            lesion.role is LesionRole.POSITIVE
            for item in series
            if item.split is Split.TRAIN
            for lesion in item.lesions
        ):
            raise StoreError(
                f"No patient of the training split has a lesion among the {len(series)} series with images",
                "At least one annotated, mined or accepted lesion is needed to learn from",
                "Import annotations, or review the mined lesions first",
            )
        return snapshot

    def _continued_annotations(self, decisions: dict[int, list[DecisionRecord]]) -> dict[int, str]:
        """Return, for decided candidates that continue an annotated lesion, the group of that lesion."""
        candidates = Candidates(self.database)
        groups = {}
        for records in decisions.values():
            for record in records:
                if record.candidate_id is not None:
                    group = _group(candidates.get(record.candidate_id))
                    if group is not None:
                        groups[record.candidate_id] = group
        return groups

    def _record(self, row: SnapshotRow) -> SnapshotRecord:
        path = self.database.project.folder / row.path
        return SnapshotRecord(row.id, row.name, path, row.label_set, dict(row.counts), row.created_at)


def _series(
    record: SeriesRecord,
    annotations: Sequence[AnnotationRecord],
    others: Iterable[Lesion],
    truth: tuple[Box3D, ...],
) -> SnapshotSeries:
    if record.geometry is None or record.source is None:
        raise StoreError(f"The series {record.name} has no images", "A series with images", "Add its scan first")
    originals = [_original(record, item) for item in annotations if item.role is AnnotationRole.LABEL]
    return SnapshotSeries(
        name=record.name,
        dataset=record.dataset,
        split=record.split,
        patient=record.patient_code,
        geometry=record.geometry.as_dict(),
        source=SnapshotSource(
            format=record.source.format.value,
            paths=tuple(str(path) for path in record.source.paths),
            series_uid=record.source.series_uid,
        ),
        lesions=(*originals, *others),
        is_complete_truth=record.is_complete,
        truth=truth,
    )


def _original(record: SeriesRecord, annotation: AnnotationRecord) -> Lesion:
    return Lesion(
        series=record.name,
        box=annotation.box,
        slices=_sections(record, annotation.box, annotation.slices),
        role=LesionRole.IGNORE if annotation.is_noisy else LesionRole.POSITIVE,
        origin=LesionOrigin.ANNOTATION,
        key_slice=annotation.key_slice,
        group=_annotation_group(annotation.id),
        is_tight=annotation.origin in _TIGHT_ORIGINS,
    )


def _decided(
    record: SeriesRecord,
    decisions: Sequence[DecisionRecord],
    annotations: Sequence[AnnotationRecord],
    groups: dict[int, str],
) -> Iterable[Lesion]:
    """Yield the lesions of the decisions; at one place only the one of highest precedence."""
    positive = [item for item in decisions if item.decision.verdict in POSITIVE_VERDICTS]
    unsure = [item for item in decisions if item.decision.verdict is Verdict.UNSURE]
    # A duplicate of another lesion was rejected as a question, not as a lesion: it says nothing about the place.
    rejected = [
        item
        for item in decisions
        if item.decision.verdict is Verdict.REJECTED and item.decision.reason_code is not ReasonCode.DUPLICATE
    ]
    lesion_boxes = [item.decision.box for item in positive]
    labelled_boxes = [item.box for item in annotations if item.role is AnnotationRole.LABEL]
    unsure = [item for item in unsure if not _covered(item, lesion_boxes)]
    unsure_boxes = [item.decision.box for item in unsure]
    rejected = [item for item in rejected if not _covered(item, [*lesion_boxes, *labelled_boxes, *unsure_boxes])]
    roles = {
        **{item.id: LesionRole.POSITIVE for item in positive},
        **{item.id: LesionRole.IGNORE for item in unsure},
        **{item.id: LesionRole.NEGATIVE for item in rejected},
    }
    for item in decisions:
        role = roles.get(item.id)
        if role is not None:
            is_lesion = role is LesionRole.POSITIVE
            yield Lesion(
                series=record.name,
                box=item.decision.box,
                slices=_sections(record, item.decision.box, item.decision.slices),
                role=role,
                origin=LesionOrigin.DECISION,
                experts=(record.dataset,) if role is LesionRole.NEGATIVE else None,
                group=groups.get(item.candidate_id) if is_lesion and item.candidate_id is not None else None,
            )


def _mined(record: SeriesRecord, candidates: Sequence[CandidateRecord]) -> Iterable[Lesion]:
    for item in candidates:
        is_missing = item.candidate.kind is CandidateKind.MISSING_ANNOTATION
        finding = item.candidate.finding
        yield Lesion(
            series=record.name,
            box=finding.box,
            slices=_sections(record, finding.box, finding.slices),
            role=LesionRole.POSITIVE if is_missing else LesionRole.IGNORE,
            origin=LesionOrigin.MINED,
            group=_group(item) if is_missing else None,
        )


def _covered(item: DecisionRecord, boxes: Iterable[Box3D]) -> bool:
    return any(is_same_place(item.decision.box, box) for box in boxes)


def _sections(record: SeriesRecord, box: Box3D, slices: Sequence[SliceBox]) -> tuple[SnapshotSlice, ...]:
    """Return the cross-sections inside the volume; a box without any has the same one on every slice."""
    depth = record.geometry.shape[0] if record.geometry is not None else 0
    sections = [(item.slice_index, *item.box) for item in slices if 0 <= item.slice_index < depth]
    if not sections:
        x1, y1, z1, x2, y2, z2 = box
        first = min(max(int(z1), 0), max(depth - 1, 0))
        sections = [(index, x1, y1, x2, y2) for index in range(first, max(first + 1, min(-int(-z2 // 1), depth)))]
    return tuple(sections)


def _group(candidate: CandidateRecord) -> str | None:
    """Return the group of the annotated lesion that a candidate continues on other slices."""
    for reason in candidate.candidate.reasons:
        if reason.rule is Rule.CROSS_SLICE and reason.annotation_id is not None:
            return _annotation_group(reason.annotation_id)
    return None


def _annotation_group(annotation_id: int) -> str:
    return f"annotation {annotation_id}"


def _counts(snapshot: Snapshot) -> dict[str, int]:
    words = {
        (LesionOrigin.ANNOTATION, LesionRole.POSITIVE): "annotations",
        (LesionOrigin.ANNOTATION, LesionRole.IGNORE): "doubtful annotations (ignored)",
        (LesionOrigin.MINED, LesionRole.POSITIVE): "mined",
        (LesionOrigin.MINED, LesionRole.IGNORE): "uncertain (ignored)",
        (LesionOrigin.DECISION, LesionRole.POSITIVE): "accepted",
        (LesionOrigin.DECISION, LesionRole.IGNORE): "unsure (ignored)",
        (LesionOrigin.DECISION, LesionRole.NEGATIVE): "rejected",
    }
    training = [series for series in snapshot.series if series.split is Split.TRAIN]
    found = Counter(words[lesion.origin, lesion.role] for series in training for lesion in series.lesions)
    return {"series": len(training), **{word: found[word] for word in words.values() if found[word]}}


def _grouped(records: Iterable[AnnotationRecord]) -> dict[int, list[AnnotationRecord]]:
    grouped: dict[int, list[AnnotationRecord]] = {}
    for record in records:
        grouped.setdefault(record.series_id, []).append(record)
    return grouped
