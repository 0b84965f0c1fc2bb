"""index messages by person.

Revision ID: ffe23ddf8c07
Revises: 48e30cc2ea46
"""

from alembic import op

revision = "ffe23ddf8c07"
down_revision = "48e30cc2ea46"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_message_person_id", "message", ["person_id", "occurred_at"], unique=False)
