"""keep Part 2 programs, consents by law, how confidential cases are, and suspensions.

Revision ID: b2f7d3a40005
Revises: 640808777d65
"""

import sqlalchemy as sa
from alembic import op

revision = "b2f7d3a40005"
down_revision = "640808777d65"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "organisation",
        sa.Column("part2_program", sa.Boolean(), server_default="false", nullable=False),
    )
    for name in ("legal_basis", "signed_by"):
        op.add_column("consent", sa.Column(name, sa.String(), nullable=True))
    op.add_column(
        "case_file",
        sa.Column("confidentiality", sa.String(), server_default="N", nullable=False),
    )
    op.create_table(
        "accounting_suspension",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("custodian_id", sa.Text(collation="C"), nullable=False),
        sa.Column("person_id", sa.Text(collation="C"), nullable=False),
        sa.Column("organisation_id", sa.Text(collation="C"), nullable=False),
        sa.Column("authority", sa.String(), nullable=False),
        sa.Column("form", sa.String(), nullable=False),
        sa.Column("official", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=True),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_to", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounting_suspension")),
    )
    op.create_index(
        op.f("ix_accounting_suspension_custodian_id_id"),
        "accounting_suspension",
        ["custodian_id", "id"],
        unique=False,
    )
