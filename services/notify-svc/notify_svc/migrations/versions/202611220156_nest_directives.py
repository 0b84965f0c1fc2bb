"""nest directives.

Revision ID: a1c0de5d0003
Revises: cf0f24a1aa22
"""

import sqlalchemy as sa
from alembic import op

revision = "a1c0de5d0003"
down_revision = "cf0f24a1aa22"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, default in (("depth", "0"), ("confidentiality", "5")):
        op.add_column(
            "sharing_consent",
            sa.Column(name, sa.SmallInteger(), server_default=sa.text(default), nullable=False),
        )
