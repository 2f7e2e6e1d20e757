"""When a mining run became whole: labels that were frozen before that knew nothing of it."""

import sqlalchemy as sa
from alembic import op

revision = "r0011"
down_revision = "r0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring a database of the revision before to this one; of older runs the beginning is all that is known."""
    op.add_column("mining_runs", sa.Column("whole_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(sa.text("UPDATE mining_runs SET whole_at = created_at WHERE is_whole"))
    op.drop_column("mining_runs", "is_whole")
