"""keep how far rights have arrived.

Revision ID: 6853843e8164
Revises: 8d77ee0ef848
"""

import sqlalchemy as sa
from alembic import op

revision = "6853843e8164"
down_revision = "8d77ee0ef848"
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
