"""verify endpoints, recover what they missed, forget what is old.

Revision ID: 11fe0e4d0001
Revises: b2f7d3a40003
"""

import sqlalchemy as sa
from alembic import op
from svckit.migrate import READER, belt

revision = "11fe0e4d0001"
down_revision = "b2f7d3a40003"
branch_labels = None
depends_on = None

_ID = sa.Text(collation="C")
_STATUSES = ("pending", "sending", "delivered", "exhausted", "expired", "cancelled", "held")


def upgrade() -> None:
    op.drop_constraint(op.f("status"), "delivery", type_="check")
    op.create_check_constraint(op.f("status"), "delivery", sa.column("status").in_(_STATUSES))
    _verify()
    _forget()
    _recover()


def _verify() -> None:
    """What was enabled before stays so; it is asked when its address changes, or by its owner."""
    at = sa.DateTime(timezone=True)
    zero = sa.text("0")
    for column in (
        sa.Column("warned_percent", sa.SmallInteger(), server_default=zero, nullable=False),
        sa.Column("enabled_at", at, nullable=True),
        sa.Column("verify_at", at, nullable=True),
        sa.Column("verify_step", sa.SmallInteger(), server_default=zero, nullable=False),
        sa.Column("verify_token", _ID, nullable=True),
        sa.Column("verification_result", sa.Text(), nullable=True),
        sa.Column("verification_checked_at", at, nullable=True),
        sa.Column("verified_at", at, nullable=True),
    ):
        op.add_column("webhook_endpoint", column)
    op.create_index(
        "ix_webhook_endpoint_verify_at",
        "webhook_endpoint",
        ["verify_at"],
        unique=False,
        postgresql_where=sa.text("verify_at IS NOT NULL"),
    )


def _forget() -> None:
    op.create_index("ix_message_expires_at", "message", ["expires_at"], unique=False)
    op.add_column(
        "feed_head",
        sa.Column("forgotten_seq", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "feed_head", sa.Column("forgotten_until", sa.DateTime(timezone=True), nullable=True)
    )
    # null of what is there: nobody knows any more when it was told
    op.add_column("feed_item", sa.Column("told_at", sa.DateTime(timezone=True), nullable=True))
    op.alter_column("feed_item", "told_at", server_default=sa.text("clock_timestamp()"))


def _recover() -> None:
    op.create_table(
        "recovery",
        sa.Column("id", _ID, nullable=False),
        sa.Column("organisation_id", _ID, nullable=False),
        sa.Column("endpoint_id", _ID, nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("again", sa.Boolean(), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column(
            "progress",
            sa.Enum(
                *("running", "done", "cancelled"),
                name="progress",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("counted", sa.Integer(), nullable=False),
        sa.Column("queued", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.Column("delivery_id", _ID, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["webhook_endpoint.id"], name=op.f("fk_recovery_endpoint_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery")),
    )
    op.create_index("ix_recovery_endpoint", "recovery", ["endpoint_id", "id"], unique=False)
    op.create_index(
        "ix_recovery_running",
        "recovery",
        ["id"],
        unique=False,
        postgresql_where=sa.text("progress = 'running'"),
    )
    belt("notify_svc_partner", {"recovery": f"organisation_id = {READER}"})
