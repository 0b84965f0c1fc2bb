"""keep emergency accesses.

Revision ID: 6ab83786c67b
Revises: bbe01509976e
"""

import sqlalchemy as sa
from alembic import op

revision = "6ab83786c67b"
down_revision = "bbe01509976e"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "emergency_access",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("custodian_id", sa.Text(collation="C"), nullable=False),
        sa.Column("requester_id", sa.Text(collation="C"), nullable=False),
        sa.Column("person_id", sa.Text(collation="C"), nullable=False),
        sa.Column("case_id", sa.Text(collation="C"), nullable=True),
        sa.Column("client_id", sa.Text(collation="C"), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column(
            "reason_code",
            sa.Enum(
                "medical-emergency",
                "danger-to-self",
                "danger-to-others",
                "safeguarding",
                name="emergency",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("reason_text", sa.String(), nullable=False),
        sa.Column("personnel_name", sa.String(), nullable=False),
        sa.Column("personnel_affiliation", sa.String(), nullable=False),
        sa.Column("discloser", sa.String(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_by_id", sa.Text(collation="C"), nullable=True),
        sa.Column("review_due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "outcome",
            sa.Enum(
                "justified",
                "unjustified",
                name="outcome",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=True,
        ),
        sa.Column("review_note", sa.String(), nullable=True),
        sa.Column("reviewed_by", sa.Text(collation="C"), nullable=True),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["custodian_id"], ["organisation.id"], name=op.f("fk_emergency_access_custodian_id")
        ),
        sa.ForeignKeyConstraint(
            ["requester_id"], ["organisation.id"], name=op.f("fk_emergency_access_requester_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_emergency_access")),
    )
    op.create_index(
        op.f("ix_emergency_access_custodian_id_id"),
        "emergency_access",
        ["custodian_id", "id"],
        unique=False,
    )
    op.create_index(
        "ix_emergency_access_open",
        "emergency_access",
        ["review_due_at"],
        unique=False,
        postgresql_where=sa.text("outcome IS NULL"),
    )
    op.create_index(
        op.f("ix_emergency_access_requester_id_id"),
        "emergency_access",
        ["requester_id", "id"],
        unique=False,
    )
