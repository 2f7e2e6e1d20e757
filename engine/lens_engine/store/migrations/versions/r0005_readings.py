"""Readings of the test set, and the decisions that belong to one; nothing that was decided before does."""

import sqlalchemy as sa
from alembic import op

revision = "r0005"
down_revision = "r0004"
branch_labels = None
depends_on = None

APPEND_ONLY = ("readings", "reading_events")


def upgrade() -> None:
    """Bring a database of the revision before to this one."""
    op.create_table(
        "readings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("reader_id", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["reader_id"], ["readers.id"], name="fk_readings_reader_id"),
        sa.ForeignKeyConstraint(["series_id"], ["series.id"], name="fk_readings_series_id"),
        sa.PrimaryKeyConstraint("id", name="pk_readings"),
        sa.UniqueConstraint("series_id", "reader_id", "round", name="uq_readings_series_id_reader_id_round"),
    )
    op.create_table(
        "reading_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("reading_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["reading_id"], ["readings.id"], name="fk_reading_events_reading_id"),
        sa.PrimaryKeyConstraint("id", name="pk_reading_events"),
    )
    op.create_index("ix_reading_events_reading_id", "reading_events", ["reading_id"], unique=False)
    for table in APPEND_ONLY:
        _refuse_changes(table)
    _add_reading_of_decisions()


def _add_reading_of_decisions() -> None:
    # SQLite adds no constraint to a table that stands, but takes one with a column.
    if op.get_bind().dialect.name == "postgresql":
        op.add_column("decisions", sa.Column("reading_id", sa.Integer(), nullable=True))
        op.create_foreign_key("fk_decisions_reading_id", "decisions", "readings", ["reading_id"], ["id"])
    else:
        op.execute(
            "ALTER TABLE decisions ADD COLUMN reading_id INTEGER "
            "CONSTRAINT fk_decisions_reading_id REFERENCES readings (id)"
        )
    op.create_index("ix_decisions_reading_id", "decisions", ["reading_id"], unique=False)


def _refuse_changes(table: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        return
    for action in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} are append-only'); END"
        )
