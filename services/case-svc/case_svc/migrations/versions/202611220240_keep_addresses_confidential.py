"""keep addresses confidential.

Revision ID: a1c0de5d0021
Revises: a1c0de5d0011
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "a1c0de5d0021"
down_revision = "a1c0de5d0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "client_record",
        sa.Column("address_confidential", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.add_column(
        "client_record",
        sa.Column("substitute_address", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    )
