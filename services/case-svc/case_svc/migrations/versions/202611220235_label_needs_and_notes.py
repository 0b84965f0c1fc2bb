"""label needs and notes.

Revision ID: a1c0de5d0011
Revises: a1c0de5d0001
"""

import sqlalchemy as sa
from alembic import op

revision = "a1c0de5d0011"
down_revision = "a1c0de5d0001"
branch_labels = None
depends_on = None

CODES = ("U", "L", "M", "N", "R", "V")


def upgrade() -> None:
    op.drop_constraint(op.f("confidentiality"), "case_file", type_="check")
    op.create_check_constraint(
        op.f("confidentiality"),
        "case_file",
        sa.column("confidentiality").in_(CODES),
    )
    for table in ("need", "note", "timeline_entry"):
        op.add_column(
            table,
            sa.Column(
                "confidentiality",
                sa.Enum(
                    *CODES,
                    name="confidentiality",
                    native_enum=False,
                    create_constraint=True,
                    length=40,
                ),
                server_default="N",
                nullable=False,
            ),
        )
