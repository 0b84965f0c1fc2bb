"""search attempts.

Revision ID: be170f100c44
Revises: be170f100c41
"""

import sqlalchemy as sa
from alembic import op

revision = "be170f100c44"
down_revision = "be170f100c41"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "delivery_attempt",
        sa.Column("organisation_id", sa.Text(collation="C"), nullable=True),
    )
    op.execute(
        "UPDATE delivery_attempt a SET organisation_id = d.organisation_id"
        " FROM delivery d WHERE d.id = a.delivery_id"
    )
    op.create_index(
        "ix_delivery_attempt_log", "delivery_attempt", ["organisation_id", "started_at", "id"]
    )
