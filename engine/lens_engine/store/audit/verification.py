"""Goes along the chains of decisions and looks for the heads that snapshots have kept."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import select

from lens_engine.store.audit.chain import COLUMNS, first_link, next_link
from lens_engine.store.database import ROWS_AT_A_TIME, Database
from lens_engine.store.labels.snapshots import Snapshots
from lens_engine.store.schema import DecisionRow, ReaderRow


@dataclass(frozen=True, slots=True)
class Break:
    """One place at which a reader's chain is not what was written.

    Attributes
    ----------
    decision_id
        The first decision that does not fit: it was changed, put in, or one before it was taken out. None where the end
        is missing.
    snapshot_id
        The snapshot that has kept the missing end.
    """

    reader: str
    decision_id: int | None = None
    snapshot_id: str | None = None


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What going along every chain has found.

    Attributes
    ----------
    heads
        The hash of each reader's latest decision, by the reader's number.
    """

    decisions: int
    heads: Mapping[int, str]
    breaks: tuple[Break, ...]


def verify(database: Database) -> AuditReport:
    """Compute every hash again, and look for the heads of every snapshot.

    Raises
    ------
    StoreError
        If a snapshot was changed.
    AnnotationFileError
        If the file of a snapshot is missing or broken.
    """
    kept = _kept_heads(database)
    count, heads, breaks = 0, {}, []
    with database.reading() as session:
        names = {row.id: row.name for row in session.execute(select(ReaderRow.id, ReaderRow.name))}
        columns = [getattr(DecisionRow, name) for name in COLUMNS]
        query = select(DecisionRow.id, DecisionRow.reader_id, DecisionRow.chain_hash, *columns)
        query = query.order_by(DecisionRow.reader_id, DecisionRow.id)
        rows = session.execute(query, execution_options={"yield_per": ROWS_AT_A_TIME})
        for reader_id, said in groupby(rows, key=lambda row: row.reader_id):
            link, missing = first_link(names[reader_id]), dict(kept.get(reader_id, {}))
            for row in said:
                if next_link(link, row._asdict()) != row.chain_hash:
                    breaks.append(Break(names[reader_id], row.id))
                link = row.chain_hash
                missing.pop(link, None)
                count += 1
            heads[reader_id] = link
            breaks += [Break(names[reader_id], snapshot_id=snapshot_id) for snapshot_id in missing.values()]
    unknown = {(reader_id, snapshot) for reader_id, known in kept.items() for snapshot in known.values()}
    gone = [
        Break(names.get(reader_id, f"reader {reader_id}"), snapshot_id=snapshot)
        for reader_id, snapshot in sorted(unknown)
        if reader_id not in heads
    ]
    return AuditReport(count, heads, (*breaks, *gone))


def _kept_heads(database: Database) -> dict[int, dict[str, str]]:
    """Return the snapshot that has kept each head, by the reader's number and the head."""
    kept: dict[int, dict[str, str]] = {}
    for reader_id, head, snapshot_id in _heads_in_snapshots(database):
        kept.setdefault(reader_id, {}).setdefault(head, snapshot_id)
    return kept


def _heads_in_snapshots(database: Database) -> Iterator[tuple[int, str, str]]:
    snapshots = Snapshots(database)
    for record in snapshots.all():
        for reader_id, head in snapshots.heads(record.id).items():
            yield reader_id, head, record.id
