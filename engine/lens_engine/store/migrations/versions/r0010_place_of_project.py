"""In which folder a project lies whose database is elsewhere; remembered when its project is next opened."""

import sqlalchemy as sa
from alembic import op

revision = "r0010"
down_revision = "r0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring a database of the revision before to this one."""
    op.create_table(
        "project_place",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("file_number", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_project_place"),
    )
