"""The coordinates that series of one examination share, and decisions that go along with one about a sibling.

Of what was added before, the coordinates are learnt when the same files are added again.
"""

import sqlalchemy as sa
from alembic import op

revision = "r0006"
down_revision = "r0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring a database of the revision before to this one."""
    op.add_column("series", sa.Column("frame_hash", sa.String(length=64), nullable=True))
    # SQLite adds no constraint to a table that stands, but takes one with a column.
    if op.get_bind().dialect.name == "postgresql":
        op.add_column("decisions", sa.Column("along_id", sa.Integer(), nullable=True))
        op.create_foreign_key("fk_decisions_along_id", "decisions", "decisions", ["along_id"], ["id"])
    else:
        op.execute(
            "ALTER TABLE decisions ADD COLUMN along_id INTEGER "
            "CONSTRAINT fk_decisions_along_id REFERENCES decisions (id)"
        )
