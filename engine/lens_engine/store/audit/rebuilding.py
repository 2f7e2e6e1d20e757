"""Makes a stored snapshot once more from the log: the decisions up to the heads that it has kept, and nothing later.

A copy of the database without what came later is composed as the snapshot was, and the hashes are compared. What is not
in the log of decisions has the moment at which it was added, a mining run that of its last candidate; only marks of
completeness and test set parts are as they are now.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import ColumnElement, Connection, and_, false, func, or_, select

from lens_engine.errors import StoreError
from lens_engine.project import with_databases
from lens_engine.snapshot import LesionOrigin, Snapshot, SnapshotSeries
from lens_engine.store.database import Database, connect, filling
from lens_engine.store.keeping.table_copies import copy_tables
from lens_engine.store.labels.snapshots import ID_LENGTH, SnapshotRecord, Snapshots
from lens_engine.store.schema import (
    AnnotationRow,
    CandidateRow,
    DatasetRow,
    DecisionRow,
    DetectionRow,
    MiningRunRow,
    ReadingEventRow,
    ReadingRow,
    SeriesRow,
)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What making a snapshot once more has shown.

    Attributes
    ----------
    is_equal
        Whether the labels are the same, by their hash.
    decided_otherwise
        Names of the series whose lesions from decisions are others.
    otherwise
        Names of the series that differ in something else.
    """

    snapshot_id: str
    decisions: int
    is_equal: bool
    decided_otherwise: tuple[str, ...] = ()
    otherwise: tuple[str, ...] = ()


def rebuild(database: Database, snapshot_id: str) -> Rebuilt:
    """Make a snapshot once more and compare it with the one that is stored.

    Raises
    ------
    StoreError
        If there is no such snapshot, its file was changed, or a decision that it has seen is gone.
    AnnotationFileError
        If its file is missing or broken.
    """
    snapshots = Snapshots(database)
    record, stored = snapshots.get(snapshot_id), snapshots.read(snapshot_id)
    with TemporaryDirectory() as scratch:
        target = connect(f"sqlite:///{Path(scratch) / 'lens.sqlite'}")
        try:
            with database.connected() as source, filling(target) as connection:
                copy_tables(source, connection, _until(source, record, stored))
            project = with_databases(database.project, None, None)
            then = Database(replace(project, folder=Path(scratch)), target)
            made = Snapshots(then).compose_any(record.label_set)
            with then.reading() as session:
                decisions = session.scalar(select(func.count()).select_from(DecisionRow)) or 0
        finally:
            target.dispose()
    if made.digest[:ID_LENGTH] == snapshot_id:
        return Rebuilt(snapshot_id, decisions, is_equal=True)
    decided, other = _differences(stored, made)
    return Rebuilt(snapshot_id, decisions, is_equal=False, decided_otherwise=decided, otherwise=other)


def _until(source: Connection, record: SnapshotRecord, stored: Snapshot) -> dict[str, ColumnElement[bool]]:
    """Return which rows of each table there were when the labels were frozen."""
    frozen_at = record.created_at
    runs = select(MiningRunRow.id).where(MiningRunRow.whole_at <= frozen_at)
    datasets = select(DatasetRow.id).where(DatasetRow.name.in_(stored.experts))
    series = select(SeriesRow.id).where(SeriesRow.created_at <= frozen_at, SeriesRow.dataset_id.in_(datasets))
    readings = select(ReadingRow.id).where(ReadingRow.started_at <= frozen_at, ReadingRow.series_id.in_(series))
    return {
        "datasets": DatasetRow.id.in_(datasets),
        "series": SeriesRow.id.in_(series),
        "annotations": and_(AnnotationRow.created_at <= frozen_at, AnnotationRow.series_id.in_(series)),
        "mining_runs": MiningRunRow.id.in_(runs),
        "candidates": CandidateRow.mining_run_id.in_(runs),
        "readings": ReadingRow.id.in_(readings),
        "reading_events": and_(ReadingEventRow.happened_at <= frozen_at, ReadingEventRow.reading_id.in_(readings)),
        "decisions": _said_until(source, stored),
        "detections": DetectionRow.id.is_(None),
    }


def _said_until(source: Connection, stored: Snapshot) -> ColumnElement[bool]:
    limits = []
    for reader_id, head in stored.chain_heads.items():
        query = select(DecisionRow.id).where(DecisionRow.reader_id == reader_id, DecisionRow.chain_hash == head)
        last = source.scalar(query)
        if last is None:
            raise StoreError(
                "Decisions that the snapshot has seen are gone from the log",
                "Rows that nobody has taken out since they were written",
                "See which: lens audit verify",
            )
        limits.append(and_(DecisionRow.reader_id == reader_id, DecisionRow.id <= last))
    return or_(*limits) if limits else false()


def _differences(stored: Snapshot, made: Snapshot) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the series that differ, in what comes from decisions and in anything else."""
    ours, theirs = ({series.name: series for series in one.series} for one in (stored, made))
    differing = [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]
    decided = [name for name in differing if _decided(ours.get(name)) != _decided(theirs.get(name))]
    return tuple(decided), tuple(name for name in differing if name not in decided)


def _decided(series: SnapshotSeries | None) -> tuple[object, ...]:
    lesions = () if series is None else series.lesions
    return tuple(lesion for lesion in lesions if lesion.origin is LesionOrigin.DECISION)
