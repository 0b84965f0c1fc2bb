"""walk what is under way.

Revision ID: de2f7f79f742
Revises: be170f100c44
"""

import sqlalchemy as sa
from alembic import op

revision = "de2f7f79f742"
down_revision = "be170f100c44"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_delivery_in_flight",
        "delivery",
        ["endpoint_id", "next_at"],
        postgresql_where=sa.text("status = 'sending'"),
    )
    # what the new one holds as well
    op.drop_index("ix_delivery_sending", table_name="delivery")
    op.execute("ALTER TABLE delivery_attempt SET (fillfactor = 60)")
