"""pace, order and seal: how fast and in which order an endpoint is told, and how it is reached.

Revision ID: 5e4d0de10001
Revises: fee0d4a1c001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "5e4d0de10001"
down_revision = "fee0d4a1c001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column("ordering", sa.Text(), server_default=sa.text("'none'"), nullable=False),
        sa.Column("coalesces", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("rate_per_s", sa.Double(), nullable=True),
        sa.Column("paced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("breaker", sa.Text(), server_default=sa.text("'closed'"), nullable=False),
        sa.Column("breaker_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("breaker_failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("breaker_opened", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "recent_ms",
            postgresql.ARRAY(sa.Integer()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("slow", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=True),
        sa.Column("transport", postgresql.JSONB(), nullable=True),
        sa.Column("sealed", sa.Text(), nullable=True),
    ):
        op.add_column("webhook_endpoint", column)
    # numbered from here on; what has not ended yet comes before all of them
    op.execute("CREATE SEQUENCE delivery_seq")
    op.add_column("delivery", sa.Column("seq", sa.BigInteger(), nullable=True))
    op.alter_column("delivery", "seq", server_default=sa.text("nextval('delivery_seq'::regclass)"))
    op.execute("UPDATE delivery SET seq = 0 WHERE status IN ('pending', 'sending', 'held')")
    op.create_index(
        "ix_delivery_order",
        "delivery",
        ["endpoint_id", "order_key", "seq"],
        unique=False,
        postgresql_where=sa.text("status IN ('pending', 'sending')"),
    )
