"""keep agreements as reviewed data.

Revision ID: 688182bb17ff
Revises: 26e539bc3fa6
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "688182bb17ff"
down_revision = "26e539bc3fa6"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "case_file",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("custodian_id", sa.Text(collation="C"), nullable=False),
        sa.Column("person_id", sa.Text(collation="C"), nullable=False),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_file")),
    )
    op.create_index(op.f("ix_case_file_person_id"), "case_file", ["person_id"], unique=False)
    op.create_table(
        "agreement_version",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("agreement_id", sa.Text(collation="C"), nullable=True),
        sa.Column("base", sa.Integer(), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column(
            "stage",
            sa.Enum(
                "draft",
                "published",
                "superseded",
                "ended",
                name="stage",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("diff", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("drafted_by", sa.Text(collation="C"), nullable=False),
        sa.Column("published_by", sa.Text(collation="C"), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("over_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["agreement_id"], ["agreement.id"], name=op.f("fk_agreement_version_agreement_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agreement_version")),
    )
    op.create_index(
        op.f("ix_agreement_version_agreement_id"),
        "agreement_version",
        ["agreement_id"],
        unique=False,
    )
    op.add_column(
        "agreement", sa.Column("confidentiality", sa.String(), server_default="N", nullable=False)
    )
    op.add_column("agreement", sa.Column("sha256", sa.String(), nullable=True))
    op.add_column(
        "grant_", sa.Column("wanted", postgresql.JSONB(astext_type=sa.Text()), nullable=True)
    )
