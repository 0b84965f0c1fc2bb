"""keep quotas of single clients.

Revision ID: 511740a8866b
Revises: 3b0c7e51f2aa
"""

import sqlalchemy as sa
from alembic import op

revision = "511740a8866b"
down_revision = "3b0c7e51f2aa"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("client", sa.Column("rate_limit", sa.Integer(), nullable=True))
