"""What was said can neither be replaced by new rows (SQLite) nor be taken away by emptying its tables (PostgreSQL)."""

from alembic import op

revision = "r0009"
down_revision = "r0008"
branch_labels = None
depends_on = None

APPEND_ONLY = ("decisions", "promotions", "evaluations", "readings", "reading_events")


def upgrade() -> None:
    """Bring a database of the revision before to this one."""
    for table in APPEND_ONLY:
        if op.get_bind().dialect.name == "postgresql":
            op.execute(
                f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
        else:  # INSERT OR REPLACE deletes a row, and calls no trigger that refuses this
            op.execute(
                f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
                f"WHEN EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id) "
                f"BEGIN SELECT RAISE(ABORT, '{table} are append-only'); END"
            )
