"""keep how confidential a message is.

Revision ID: a1c0de5d0013
Revises: a1c0de5d0003
"""

import sqlalchemy as sa
from alembic import op

revision = "a1c0de5d0013"
down_revision = "a1c0de5d0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "message",
        sa.Column(
            "confidentiality", sa.SmallInteger(), server_default=sa.text("3"), nullable=False
        ),
    )
