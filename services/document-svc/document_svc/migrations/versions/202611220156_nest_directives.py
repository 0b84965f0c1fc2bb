"""nest directives.

Revision ID: a1c0de5d0002
Revises: 35e89d790788
"""

import sqlalchemy as sa
from alembic import op

revision = "a1c0de5d0002"
down_revision = "35e89d790788"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, default in (("depth", "0"), ("confidentiality", "5")):
        op.add_column(
            "sharing_consent",
            sa.Column(name, sa.SmallInteger(), server_default=sa.text(default), nullable=False),
        )
