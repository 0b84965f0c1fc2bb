"""keep consents of several directives.

Revision ID: c5b1e7a90d24
Revises: 89a35ed65bda
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "c5b1e7a90d24"
down_revision = "89a35ed65bda"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("directives", "recipients"):
        op.add_column(
            "consent",
            sa.Column(
                name,
                postgresql.JSONB(astext_type=sa.Text()),
                server_default=sa.text("'[]'"),
                nullable=False,
            ),
        )
    op.add_column(
        "consent",
        sa.Column(
            "source",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
        ),
    )
    op.add_column(
        "consent",
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=True,
        ),
    )
