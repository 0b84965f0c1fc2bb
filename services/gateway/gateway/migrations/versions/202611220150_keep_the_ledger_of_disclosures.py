"""keep the ledger of disclosures.

Revision ID: 89a35ed65bda
Revises: 688182bb17ff
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "89a35ed65bda"
down_revision = "688182bb17ff"
branch_labels = None
depends_on = None

TABLES = ("ledger_segment", "ledger_entry", "ledger_period", "ledger_range")


def upgrade() -> None:
    op.create_table(
        "ledger_entry",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("custodian_id", sa.Text(collation="C"), nullable=True),
        sa.Column("person_id", sa.Text(collation="C"), nullable=True),
        sa.Column("organisation_id", sa.Text(collation="C"), nullable=False),
        sa.Column("denied", sa.Boolean(), nullable=False),
        sa.Column("classes", sa.Integer(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_entry")),
    )
    op.create_index(
        op.f("ix_ledger_entry_custodian_id_at_id"),
        "ledger_entry",
        ["custodian_id", "at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_ledger_entry_person_id_at"), "ledger_entry", ["person_id", "at"], unique=False
    )
    op.create_table(
        "ledger_period",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("root", sa.String(), nullable=False),
        sa.Column("statement", sa.String(), nullable=False),
        sa.Column("key", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_ledger_period")),
    )
    op.create_table(
        "ledger_segment",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_segment")),
    )
    op.create_table(
        "ledger_range",
        sa.Column("segment", sa.Text(collation="C"), nullable=False),
        sa.Column("first", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("period", sa.Integer(), nullable=False),
        sa.Column("first_leaf", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("segment", "first", name=op.f("pk_ledger_range")),
    )
    op.create_index(
        op.f("ix_ledger_range_period_first_leaf"),
        "ledger_range",
        ["period", "first_leaf"],
        unique=False,
    )
    _keep_for_good()


def _keep_for_good() -> None:
    # the owner may give itself the right back; the trigger then still says no, and says so loudly
    op.execute(
        "CREATE FUNCTION ledger_is_kept() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the ledger is never changed: % on %', TG_OP, TG_TABLE_NAME "
        "USING ERRCODE = 'insufficient_privilege'; END $$"
    )
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_kept()"
        )
        op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM CURRENT_USER, PUBLIC")
