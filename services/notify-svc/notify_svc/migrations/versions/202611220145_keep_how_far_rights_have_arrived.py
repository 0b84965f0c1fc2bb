"""keep how far rights have arrived.

Revision ID: 0af1deaf29ac
Revises: ffe23ddf8c07
"""

import sqlalchemy as sa
from alembic import op

revision = "0af1deaf29ac"
down_revision = "ffe23ddf8c07"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "watermark",
        sa.Column("consumer", sa.Text(collation="C"), nullable=False),
        sa.Column("topic", sa.Text(collation="C"), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("partitions", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("consumer", "topic", "partition", name=op.f("pk_watermark")),
    )
