"""keep how confidential a message's case became.

Revision ID: a1c0de5d0019
Revises: be170f1f0001
"""

import sqlalchemy as sa
from alembic import op

revision = "a1c0de5d0019"
down_revision = "be170f1f0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("message", sa.Column("case_confidentiality", sa.SmallInteger(), nullable=True))
    op.create_index("ix_message_case_id", "message", ["case_id"])
