"""A reader's own words about a lesion, and its RECIST axes; nobody has said either of what was decided before."""

import sqlalchemy as sa
from alembic import op

revision = "r0004"
down_revision = "r0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring a database of the revision before to this one."""
    op.add_column("decisions", sa.Column("comment", sa.Text(), server_default="", nullable=False))
    op.add_column("decisions", sa.Column("axes", sa.JSON(none_as_null=True), nullable=True))
