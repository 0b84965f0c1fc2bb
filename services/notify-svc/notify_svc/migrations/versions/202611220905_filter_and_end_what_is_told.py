"""filter what is told by codes, and tell that access ended.

Revision ID: fee0d4a1c001
Revises: 11fe0e4d0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "fee0d4a1c001"
down_revision = "11fe0e4d0001"
branch_labels = None
depends_on = None

_ID = sa.Text(collation="C")


def upgrade() -> None:
    _know_what_filters_ask()
    op.create_table(
        "access",
        sa.Column("organisation_id", _ID, nullable=False),
        sa.Column("subject", _ID, nullable=False),
        sa.Column("custodian_id", _ID, nullable=False),
        sa.Column("person_id", _ID, nullable=True),
        sa.Column("case_id", _ID, nullable=True),
        sa.Column("referral_id", _ID, nullable=True),
        sa.Column("party", sa.Boolean(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("organisation_id", "subject", name=op.f("pk_access")),
    )
    op.create_index("ix_access_person_id", "access", ["person_id"], unique=False)
    _index("access", "case_id", ["case_id"])
    op.create_table(
        "access_check",
        sa.Column("person_id", _ID, nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("person_id", "due_at", name=op.f("pk_access_check")),
    )
    op.create_index("ix_access_check_due_at", "access_check", ["due_at"], unique=False)


def _know_what_filters_ask() -> None:
    none, zero = sa.text("'{}'"), sa.text("0")
    for table in ("message", "feed_item"):
        for name in ("need_category", "transition"):
            op.add_column(table, sa.Column(name, sa.Text(), nullable=True))
    op.add_column(
        "message",
        sa.Column("transition_classes", sa.Integer(), server_default=zero, nullable=False),
    )
    op.add_column(
        "delivery", sa.Column("asked_classes", sa.Integer(), server_default=zero, nullable=False)
    )
    for name in ("case_ids", "referral_ids", "need_categories", "transitions"):
        kind = _ID if name.endswith("_ids") else sa.Text()
        column = sa.Column(name, postgresql.ARRAY(kind), server_default=none, nullable=False)
        op.add_column("webhook_endpoint", column)
    _index("message", "case_id", ["case_id"])
    _index("message", "referral_id", ["referral_id"])
    for name in ("need_category", "transition"):
        _index("feed_item", name, ["organisation_id", name, "seq"])


def _index(table: str, name: str, columns: list[str]) -> None:
    where = sa.text(f"{name} IS NOT NULL")
    op.create_index(f"ix_{table}_{name}", table, columns, unique=False, postgresql_where=where)
