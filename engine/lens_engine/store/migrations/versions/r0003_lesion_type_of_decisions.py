"""The type of a lesion that a reader accepted; nobody has said any of what was decided before."""

import sqlalchemy as sa
from alembic import op

revision = "r0003"
down_revision = "r0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring a database of the revision before to this one."""
    op.add_column("decisions", sa.Column("lesion_type", sa.String(length=200), nullable=True))
