"""Mining runs say whether they are stored as a whole; those of earlier versions are."""

import sqlalchemy as sa
from alembic import op

revision = "r0002"
down_revision = "r0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the database to this revision."""
    op.add_column("mining_runs", sa.Column("is_whole", sa.Boolean(), nullable=False, server_default=sa.true()))


def downgrade() -> None:
    """Bring the database back to the previous revision."""
    op.drop_column("mining_runs", "is_whole")
