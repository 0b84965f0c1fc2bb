"""Create the tables.

Revision ID: 48e30cc2ea46
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "48e30cc2ea46"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "feed_head",
        sa.Column("organisation_id", sa.Text(collation="C"), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", name=op.f("pk_feed_head")),
    )
    op.create_table(
        "message",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("custodian_id", sa.Text(collation="C"), nullable=False),
        sa.Column("person_id", sa.Text(collation="C"), nullable=True),
        sa.Column("case_id", sa.Text(collation="C"), nullable=True),
        sa.Column("parties", postgresql.ARRAY(sa.Text(collation="C")), nullable=False),
        sa.Column("classes", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
    )
    op.create_table(
        "webhook_endpoint",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("organisation_id", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("kinds", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("window", sa.SmallInteger(), nullable=False),
        sa.Column("failed_messages", sa.Integer(), nullable=False),
        sa.Column("last_success_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoint")),
    )
    op.create_index(
        "ix_webhook_endpoint_organisation",
        "webhook_endpoint",
        ["organisation_id", "id"],
        unique=False,
    )
    op.create_table(
        "delivery",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("organisation_id", sa.Text(collation="C"), nullable=False),
        sa.Column("endpoint_id", sa.Text(collation="C"), nullable=False),
        sa.Column("message_id", sa.Text(collation="C"), nullable=False),
        sa.Column("order_key", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "pending",
                "sending",
                "delivered",
                "exhausted",
                "cancelled",
                "held",
                name="status",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("step", sa.SmallInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("token", sa.Text(collation="C"), nullable=True),
        sa.Column("traceparent", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["webhook_endpoint.id"], name=op.f("fk_delivery_endpoint_id")
        ),
        sa.ForeignKeyConstraint(
            ["message_id"], ["message.id"], name=op.f("fk_delivery_message_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
    )
    op.create_index(
        "ix_delivery_due",
        "delivery",
        ["endpoint_id", "next_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('pending', 'sending')"),
    )
    op.create_index("ix_delivery_endpoint", "delivery", ["endpoint_id", "id"], unique=False)
    op.create_index(
        "ix_delivery_held",
        "delivery",
        ["endpoint_id"],
        unique=False,
        postgresql_where=sa.text("status = 'held'"),
    )
    op.create_index("ix_delivery_organisation", "delivery", ["organisation_id", "id"], unique=False)
    op.create_index(
        "ix_delivery_sending",
        "delivery",
        ["endpoint_id"],
        unique=False,
        postgresql_where=sa.text("status = 'sending'"),
    )
    op.create_index("uq_delivery_message", "delivery", ["message_id", "endpoint_id"], unique=True)
    op.create_table(
        "feed_item",
        sa.Column("organisation_id", sa.Text(collation="C"), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("message_id", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"], ["message.id"], name=op.f("fk_feed_item_message_id")
        ),
        sa.PrimaryKeyConstraint("organisation_id", "seq", name=op.f("pk_feed_item")),
    )
    op.create_index(
        "ix_feed_item_kind", "feed_item", ["organisation_id", "kind", "seq"], unique=False
    )
    op.create_index(
        "uq_feed_item_message", "feed_item", ["message_id", "organisation_id"], unique=True
    )
    op.create_table(
        "webhook_secret",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("endpoint_id", sa.Text(collation="C"), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_after", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["webhook_endpoint.id"], name=op.f("fk_webhook_secret_endpoint_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_secret")),
    )
    op.create_index("ix_webhook_secret_endpoint", "webhook_secret", ["endpoint_id"], unique=False)
    op.create_table(
        "delivery_attempt",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("delivery_id", sa.Text(collation="C"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "outcome",
            sa.Enum(
                "unknown",
                "delivered",
                "failed",
                "deferred",
                name="outcome",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("response_status", sa.SmallInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["delivery.id"], name=op.f("fk_delivery_attempt_delivery_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_attempt")),
    )
    op.create_index(
        "ix_delivery_attempt_delivery", "delivery_attempt", ["delivery_id", "number"], unique=False
    )
    op.create_table(
        "aggregate_version",
        sa.Column("consumer", sa.Text(collation="C"), nullable=False),
        sa.Column("subject", sa.Text(collation="C"), nullable=False),
        sa.Column("last_version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("consumer", "subject", name=op.f("pk_aggregate_version")),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("organisation_id", sa.Text(collation="C"), nullable=True),
        sa.Column("client_id", sa.Text(collation="C"), nullable=True),
        sa.Column("actor", sa.Text(collation="C"), nullable=True),
        sa.Column("purpose", sa.Text(collation="C"), nullable=True),
        sa.Column("action", sa.Text(collation="C"), nullable=False),
        sa.Column("resource", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("trace_id", sa.Text(collation="C"), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index("ix_audit_at", "audit", ["at"], unique=False)
    op.create_index("ix_audit_resource_at", "audit", ["resource", "at"], unique=False)
    op.create_table(
        "blocked_key",
        sa.Column("consumer", sa.Text(collation="C"), nullable=False),
        sa.Column("topic", sa.Text(collation="C"), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("reason", sa.Text(collation="C"), nullable=False),
        sa.Column("subject", sa.Text(collation="C"), nullable=True),
        sa.Column(
            "blocked_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("consumer", "topic", "key", name=op.f("pk_blocked_key")),
    )
    op.create_table(
        "consumer_offset",
        sa.Column("consumer", sa.Text(collation="C"), nullable=False),
        sa.Column("topic", sa.Text(collation="C"), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next_offset", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("log_id", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("consumer", "topic", "partition", name=op.f("pk_consumer_offset")),
    )
    op.create_table(
        "idempotency",
        sa.Column("client_id", sa.Text(collation="C"), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("method", sa.Text(collation="C"), nullable=False),
        sa.Column("path", sa.Text(collation="C"), nullable=False),
        sa.Column("fingerprint", sa.Text(collation="C"), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("client_id", "key", "method", "path", name=op.f("pk_idempotency")),
    )
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"], unique=False)
    op.create_table(
        "inbox",
        sa.Column("consumer", sa.Text(collation="C"), nullable=False),
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "received_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("consumer", "event_id", name=op.f("pk_inbox")),
    )
    op.create_index("ix_inbox_received_at", "inbox", ["received_at"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True, cache=1), nullable=False),
        sa.Column("slot", sa.SmallInteger(), nullable=False),
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
        sa.Column("type", sa.Text(collation="C"), nullable=False),
        sa.Column("subject", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_outbox")),
        sa.UniqueConstraint("event_id", name=op.f("uq_outbox_event_id")),
    )
    op.create_index("ix_outbox_slot_seq", "outbox", ["slot", "seq"], unique=False)
    op.create_table(
        "parked_message",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("consumer", sa.Text(collation="C"), nullable=False),
        sa.Column("log_id", sa.Text(collation="C"), nullable=False),
        sa.Column("topic", sa.Text(collation="C"), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("raw_key", sa.LargeBinary(), nullable=True),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=True),
        sa.Column("reason", sa.Text(collation="C"), nullable=False),
        sa.Column("error", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "parked_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_parked_message")),
        sa.UniqueConstraint(
            "consumer",
            "log_id",
            "topic",
            "partition",
            "offset",
            name=op.f("uq_parked_message_consumer_log_id_topic_partition_offset"),
        ),
    )
    op.create_index(
        "ix_parked_message_consumer_topic_key",
        "parked_message",
        ["consumer", "topic", "key", "id"],
        unique=False,
    )
    op.create_table(
        "sharing_agreement",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("custodian_id", sa.Text(collation="C"), nullable=False),
        sa.Column("recipient_id", sa.Text(collation="C"), nullable=True),
        sa.Column("recipient_kind", sa.Text(), nullable=True),
        sa.Column("purposes", sa.BigInteger(), nullable=False),
        sa.Column("classes", sa.Integer(), nullable=False),
        sa.Column("consent_classes", sa.Integer(), nullable=False),
        sa.Column("retention_days", sa.Integer(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_to", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(recipient_id IS NULL) <> (recipient_kind IS NULL)",
            name=op.f("ck_sharing_agreement_one_recipient"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sharing_agreement")),
    )
    op.create_index(
        "ix_sharing_agreement_parties",
        "sharing_agreement",
        ["custodian_id", "recipient_id", "recipient_kind"],
        unique=False,
    )
    op.create_table(
        "sharing_consent",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("person_id", sa.Text(collation="C"), nullable=False),
        sa.Column("recipient_id", sa.Text(collation="C"), nullable=True),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("classes", sa.Integer(), nullable=False),
        sa.Column("purposes", sa.BigInteger(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "decision IN ('permit','deny')", name=op.f("ck_sharing_consent_decision")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sharing_consent")),
    )
    op.create_index(
        "ix_sharing_consent_person", "sharing_consent", ["person_id", "decided_at"], unique=False
    )
    op.create_table(
        "sharing_grant",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("custodian_id", sa.Text(collation="C"), nullable=False),
        sa.Column("recipient_id", sa.Text(collation="C"), nullable=False),
        sa.Column("person_id", sa.Text(collation="C"), nullable=False),
        sa.Column("case_id", sa.Text(collation="C"), nullable=True),
        sa.Column("agreement_id", sa.Text(collation="C"), nullable=False),
        sa.Column("classes", sa.Integer(), nullable=False),
        sa.Column("purposes", sa.BigInteger(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("basis_id", sa.Text(collation="C"), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_to", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "basis IN ('consent','referral','care-team','treatment','emergency','legal')",
            name=op.f("ck_sharing_grant_basis"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sharing_grant")),
    )
    op.create_index("ix_sharing_grant_agreement", "sharing_grant", ["agreement_id"], unique=False)
    op.create_index("ix_sharing_grant_basis", "sharing_grant", ["basis_id"], unique=False)
    op.create_index(
        "ix_sharing_grant_person", "sharing_grant", ["person_id", "custodian_id"], unique=False
    )
    op.create_index(
        "ix_sharing_grant_reader",
        "sharing_grant",
        ["recipient_id", "person_id", "custodian_id", "case_id"],
        unique=False,
    )
    op.create_table(
        "sharing_organisation",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sharing_organisation")),
    )
