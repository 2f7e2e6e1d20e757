"""Labels and decisions of a project frozen into what training reads, each snapshot under the hash of its content.

`roles` says what each label means, where several speak of one place. A rejection is certain for every expert. What a
reader says is a lesion is one for the universal experts and for those whose scope covers its type, where he says the
type. Test patients never enter.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from lens_engine.errors import AnnotationFileError, StoreError
from lens_engine.findings import Box3D, Candidate, Reason, Rule, Scope, SliceBox, Split
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
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRecord, Annotations
from lens_engine.store.audit.heads import heads_of
from lens_engine.store.candidates import Candidates
from lens_engine.store.catalog import Catalog, DatasetRecord, SeriesRecord
from lens_engine.store.database import Database
from lens_engine.store.decisions import DecisionRecord, Decisions
from lens_engine.store.labels.completeness import (
    Said,
    lesions_on_one_slice,
    said_of_all,
    true_boxes,
    type_of_lesion,
)
from lens_engine.store.labels.roles import in_words, roles_of, training_counts
from lens_engine.store.schema import SnapshotRow

T = TypeVar("T")

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
        ProjectError
            If the folder of the project is away.
        """
        self.database.project.refuse_if_away()
        snapshot = self.compose(label_set)
        counts = counts_of(snapshot)
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

    def heads(self, snapshot_id: str) -> dict[int, str]:
        """Return the ends of the chains of decisions when the labels were frozen, see `Snapshot.chain_heads`.

        The labels are compared with their hash, and never held in memory together.

        Raises
        ------
        StoreError
            If there is no such snapshot, or its file was changed.
        AnnotationFileError
            If its file is missing or broken.
        """
        try:
            heads, digest = Snapshot.heads_in(self.get(snapshot_id).path)
        except AnnotationFileError:  # written in another form by an earlier version
            return self.read(snapshot_id).chain_heads
        return heads if digest[:ID_LENGTH] == snapshot_id else self.read(snapshot_id).chain_heads

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

    def counts(self, label_set: LabelSet) -> dict[str, int]:
        """Return the `SnapshotRecord.counts` that freezing now would give, counted by the database."""
        with self.database.reading() as session:
            return training_counts(session, label_set)

    def compose(self, label_set: LabelSet) -> Snapshot:
        """Return the labels as they are at one moment, without keeping them.

        Raises
        ------
        StoreError
            If no training patient has any lesion to learn from.
        """
        snapshot = self.compose_any(label_set)
        if not any(
            lesion.role is LesionRole.POSITIVE
            for item in snapshot.series
            if item.split is Split.TRAIN
            for lesion in item.lesions
        ):
            raise StoreError(
                f"No patient of the training split has a lesion among the {len(snapshot.series)} series with images",
                "At least one annotated, mined or accepted lesion is needed to learn from",
                "Import annotations, or review the mined lesions first",
            )
        return snapshot

    def compose_any(self, label_set: LabelSet) -> Snapshot:
        """Return the labels as they are at one moment, whether there is anything to learn from or not."""
        with self.database.at_one_moment() as moment:
            return _compose(moment, label_set)

    def _record(self, row: SnapshotRow) -> SnapshotRecord:
        path = self.database.project.folder / row.path
        return SnapshotRecord(row.id, row.name, path, row.label_set, dict(row.counts), row.created_at)


def _compose(database: Database, label_set: LabelSet) -> Snapshot:
    catalog = Catalog(database)
    datasets = catalog.datasets()
    with database.reading() as session:
        roles, heads = roles_of(session, label_set), heads_of(session)
    annotations = _by_series((item.series_id, item) for item in Annotations(database).all())
    decisions = Decisions(database).current_by_series()
    said = said_of_all(database, decisions)
    latest = Candidates(database).latest(among=roles[LesionOrigin.MINED])
    candidates = _by_series((item.series_id, (candidate_id, item)) for candidate_id, item in latest.items())
    groups = {key: _group(reasons) for key, reasons in Candidates(database).reasons_of_decided().items()}
    series = tuple(
        _series(
            record,
            [
                *_original(record, annotations.get(record.id, ()), roles[LesionOrigin.ANNOTATION]),
                *_decided(record, decisions.get(record.id, ()), roles[LesionOrigin.DECISION], groups, datasets),
                *_mined(record, candidates.get(record.id, ()), roles[LesionOrigin.MINED]),
            ],
            _truth(record, annotations.get(record.id, ()), said.get(record.id, Said())),
        )
        for record in catalog.all_series(with_images=True)
        if record.split is not Split.TEST
    )
    return Snapshot(
        experts=tuple(dataset.name for dataset in datasets),
        scopes=tuple(dataset.scope for dataset in datasets),
        series=series,
        labels=label_set,
        chain_heads=heads,
    )


def _series(record: SeriesRecord, lesions: Iterable[Lesion], truth: tuple[Box3D, ...] | None) -> SnapshotSeries:
    if record.geometry is None or record.source is None:
        raise StoreError(f"The series {record.name} has no images", "A series with images", "Add its scan first")
    return SnapshotSeries(
        name=record.name,
        dataset=record.dataset,
        split=record.split,
        patient=record.patient_code,
        geometry=record.geometry.as_dict(),
        source=SnapshotSource(
            format=record.source.format.value,
            paths=record.paths_in_root,
            series_uid=record.source.series_uid,
            root=record.root,
        ),
        lesions=tuple(lesions),
        is_complete_truth=truth is not None,
        truth=truth or (),
    )


def _truth(record: SeriesRecord, annotations: Sequence[AnnotationRecord], said: Said) -> tuple[Box3D, ...] | None:
    """Return the lesions of a series that a detector may be measured on, None of any other."""
    if not record.is_complete or said.is_disputed or lesions_on_one_slice(annotations, said.decisions):
        return None
    return true_boxes(annotations, said.decisions)


def _original(
    record: SeriesRecord, annotations: Iterable[AnnotationRecord], roles: Mapping[int, LesionRole]
) -> Iterable[Lesion]:
    for item in annotations:
        if item.id in roles:
            yield Lesion(
                series=record.name,
                box=item.box,
                slices=_sections(record, item.box, item.slices),
                role=roles[item.id],
                origin=LesionOrigin.ANNOTATION,
                key_slice=item.key_slice,
                group=_annotation_group(item.id),
                is_tight=item.origin in _TIGHT_ORIGINS,
            )


def _decided(
    record: SeriesRecord,
    decisions: Sequence[DecisionRecord],
    roles: Mapping[int, LesionRole],
    groups: Mapping[int, str | None],
    datasets: Sequence[DatasetRecord],
) -> Iterable[Lesion]:
    for item in decisions:
        if item.id in roles:
            role = roles[item.id]
            is_lesion = role is LesionRole.POSITIVE
            yield Lesion(
                series=record.name,
                box=item.decision.box,
                slices=_sections(record, item.decision.box, item.decision.slices),
                role=role,
                origin=LesionOrigin.DECISION,
                experts=_experts_of(type_of_lesion(item, decisions), datasets) if is_lesion else None,
                group=groups[item.candidate_id] if is_lesion and item.candidate_id is not None else None,
            )


def _experts_of(lesion_type: str | None, datasets: Sequence[DatasetRecord]) -> tuple[str, ...]:
    """Return who learns a lesion that a reader decided; of a single-type expert nothing is known without a type."""
    return tuple(
        dataset.name
        for dataset in datasets
        if dataset.scope is Scope.UNIVERSAL or (lesion_type is not None and dataset.lesion_type == lesion_type)
    )


def _mined(
    record: SeriesRecord, candidates: Iterable[tuple[int, Candidate]], roles: Mapping[int, LesionRole]
) -> Iterable[Lesion]:
    for candidate_id, candidate in candidates:
        if candidate_id in roles:
            role = roles[candidate_id]
            finding = candidate.finding
            yield Lesion(
                series=record.name,
                box=finding.box,
                slices=_sections(record, finding.box, finding.slices),
                role=role,
                origin=LesionOrigin.MINED,
                group=_group(candidate.reasons) if role is LesionRole.POSITIVE else None,
            )


def _sections(record: SeriesRecord, box: Box3D, slices: Sequence[SliceBox]) -> tuple[SnapshotSlice, ...]:
    """Return the cross-sections inside the volume; a box without any has the same one on every slice."""
    depth = record.geometry.shape[0] if record.geometry is not None else 0
    sections = [(item.slice_index, *item.box) for item in slices if 0 <= item.slice_index < depth]
    if not sections:
        x1, y1, z1, x2, y2, z2 = box
        first = min(max(int(z1), 0), max(depth - 1, 0))
        sections = [(index, x1, y1, x2, y2) for index in range(first, max(first + 1, min(-int(-z2 // 1), depth)))]
    return tuple(sections)


def _group(reasons: Iterable[Reason]) -> str | None:
    """Return the group of the annotated lesion that a candidate continues on other slices."""
    for reason in reasons:
        if reason.rule is Rule.CROSS_SLICE and reason.annotation_id is not None:
            return _annotation_group(reason.annotation_id)
    return None


def _annotation_group(annotation_id: int) -> str:
    return f"annotation {annotation_id}"


def counts_of(snapshot: Snapshot) -> dict[str, int]:
    """Return what there is to learn from in the training split, by words for a reader."""
    training = [series for series in snapshot.series if series.split is Split.TRAIN]
    return in_words(len(training), Counter((item.origin, item.role) for series in training for item in series.lesions))


def _by_series(items: Iterable[tuple[int, T]]) -> dict[int, list[T]]:
    grouped: dict[int, list[T]] = {}
    for series_id, item in items:
        grouped.setdefault(series_id, []).append(item)
    return grouped
