"""name what a legal grant follows.

Revision ID: d7c2f18b3e05
Revises: c5b1e7a90d24
"""

import sqlalchemy as sa
from alembic import op

revision = "d7c2f18b3e05"
down_revision = "c5b1e7a90d24"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("grant_", sa.Column("reference", sa.String(), nullable=True))
