"""Every reader's decisions form a chain of hashes; those that were stored before are put into it as they are."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from lens_engine.store.audit.chain import COLUMNS, first_link, next_link
from lens_engine.store.schema import UtcDateTime

revision = "r0008"
down_revision = "r0007"
branch_labels = None
depends_on = None

PORTION = 1000


def upgrade() -> None:
    """Bring a database of the revision before to this one."""
    op.add_column("decisions", sa.Column("chain_hash", sa.String(length=64), server_default="", nullable=False))
    op.create_index("ix_decisions_reader_id_id", "decisions", ["reader_id", "id"], unique=False)
    connection = op.get_bind()
    is_postgresql = connection.dialect.name == "postgresql"
    if is_postgresql:
        op.execute("ALTER TABLE decisions DISABLE TRIGGER decisions_append_only")
    else:
        op.execute("DROP TRIGGER decisions_no_update")
    links = list(_links(connection))
    written = sa.text("UPDATE decisions SET chain_hash = :link WHERE id = :id")
    for start in range(0, len(links), PORTION):
        connection.execute(written, links[start : start + PORTION])
    if is_postgresql:
        op.execute("ALTER TABLE decisions ENABLE TRIGGER decisions_append_only")
    else:
        op.execute(
            "CREATE TRIGGER decisions_no_update BEFORE UPDATE ON decisions "
            "BEGIN SELECT RAISE(ABORT, 'decisions are append-only'); END"
        )


def _links(connection: sa.Connection) -> Iterator[dict[str, Any]]:
    types: dict[str, sa.types.TypeEngine[Any]] = {
        "decided_at": UtcDateTime(), "scores_hidden": sa.Boolean(), "slices": sa.JSON(), "axes": sa.JSON(),
    }  # fmt: skip
    columns: list[sa.ColumnClause[Any]] = [sa.column(name, types.get(name)) for name in COLUMNS]
    decisions = sa.table("decisions", sa.column("id"), sa.column("reader_id"), *columns)
    readers = {row.id: row.name for row in connection.execute(sa.text("SELECT id, name FROM readers"))}
    heads = {number: first_link(name) for number, name in readers.items()}
    for row in connection.execute(sa.select(decisions).order_by(decisions.c.id)):
        heads[row.reader_id] = next_link(heads[row.reader_id], row._asdict())
        yield {"id": row.id, "link": heads[row.reader_id]}
