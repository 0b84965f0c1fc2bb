"""keep what rows of a case were.

Revision ID: a1c0de5d0031
Revises: a1c0de5d0021
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "a1c0de5d0031"
down_revision = "a1c0de5d0021"
branch_labels = None
depends_on = None

KEPT = (
    "case_file",
    "party",
    "team_member",
    "external_number",
    "need",
    "assessment",
    "goal",
    "activity",
    "task",
    "note",
    "decision",
)
# At the commit, when the row is what it will be: a transaction may write a row in several steps, and
# what stood there before the first of them is what was. What raised no version changed nothing.
_KEEP = """
CREATE FUNCTION keep_past_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    now_version integer;
    now_updated timestamptz;
BEGIN
    EXECUTE format('SELECT version, updated_at FROM %I.%I WHERE id = $1', TG_TABLE_SCHEMA,
                   TG_TABLE_NAME) INTO now_version, now_updated USING OLD.id;
    IF now_version > OLD.version THEN
        INSERT INTO past_row (row_id, version, case_id, until, state)
        VALUES (OLD.id, OLD.version, coalesce(to_jsonb(OLD) ->> 'case_id', OLD.id), now_updated,
                to_jsonb(OLD))
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$
"""
# the count of a case's entries rises with everything that happens in it
_WHEN = {
    "case_file": "WHEN (to_jsonb(OLD) - 'entries' IS DISTINCT FROM to_jsonb(NEW) - 'entries') "
}


def upgrade() -> None:
    op.create_table(
        "past_row",
        sa.Column("row_id", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("case_id", sa.Text(collation="C"), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("row_id", "version", name=op.f("pk_past_row")),
    )
    op.execute(_KEEP)
    for table in KEPT:
        op.execute(
            f"CREATE CONSTRAINT TRIGGER {table}_keeps_its_past AFTER UPDATE ON {table} "
            f"DEFERRABLE INITIALLY DEFERRED FOR EACH ROW {_WHEN.get(table, '')}"
            "EXECUTE FUNCTION keep_past_row()"
        )
