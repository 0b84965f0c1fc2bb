"""create the tables.

Revision ID: 3863cc13a16b
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "3863cc13a16b"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "case_ref",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("custodian_id", sa.Text(collation="C"), nullable=False),
        sa.Column("person_id", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_ref")),
    )
    op.create_table(
        "document",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("custodian_id", sa.Text(collation="C"), nullable=False),
        sa.Column("person_id", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "pending",
                "current",
                "superseded",
                "entered-in-error",
                name="status",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column(
            "data_class",
            sa.Enum(
                "identity",
                "contact",
                "coordination",
                "needs",
                "plan",
                "clinical",
                "behavioral",
                "substance-use",
                "safety",
                "notes",
                "financial",
                "outcome",
                name="dataclass",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("labels", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "confidentiality",
            sa.Enum(
                "U",
                "L",
                "M",
                "N",
                "R",
                "V",
                name="confidentiality",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("required", sa.Integer(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("declared_sha256", sa.Text(), nullable=True),
        sa.Column("declared_size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("content_number", sa.Integer(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(status = 'pending') = (content_number = 0)", name=op.f("ck_document_pending")
        ),
        sa.CheckConstraint("version >= 0 AND content_number >= 0", name=op.f("ck_document_counts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document")),
    )
    op.create_index("ix_document_person", "document", ["person_id", "custodian_id"], unique=False)
    op.create_table(
        "referral_ref",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("custodian_id", sa.Text(collation="C"), nullable=False),
        sa.Column("person_id", sa.Text(collation="C"), nullable=False),
        sa.Column("case_id", sa.Text(collation="C"), nullable=True),
        sa.Column("parties", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("live", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_referral_ref")),
    )
    op.create_table(
        "document_content",
        sa.Column("document_id", sa.Text(collation="C"), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("object_key", sa.Text(collation="C"), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("document_version", sa.Integer(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_document_content_sha256")),
        sa.CheckConstraint(
            "number >= 1 AND size_bytes >= 1", name=op.f("ck_document_content_counts")
        ),
        sa.ForeignKeyConstraint(
            ["document_id"], ["document.id"], name=op.f("fk_document_content_document_id")
        ),
        sa.PrimaryKeyConstraint("document_id", "number", name=op.f("pk_document_content")),
        sa.UniqueConstraint("object_key", name=op.f("uq_document_content_object_key")),
    )
    op.create_table(
        "document_link",
        sa.Column("document_id", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "anchor",
            sa.Enum(
                "case",
                "referral",
                name="anchor",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("target_id", sa.Text(collation="C"), nullable=False),
        sa.Column("case_id", sa.Text(collation="C"), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["document_id"], ["document.id"], name=op.f("fk_document_link_document_id")
        ),
        sa.PrimaryKeyConstraint(
            "document_id", "anchor", "target_id", name=op.f("pk_document_link")
        ),
    )
    op.create_index(
        "ix_document_link_case", "document_link", ["case_id", "document_id"], unique=False
    )
    op.create_index(
        "ix_document_link_target", "document_link", ["target_id", "document_id"], unique=False
    )
    op.create_table(
        "document_reader",
        sa.Column("organisation_id", sa.Text(collation="C"), nullable=False),
        sa.Column("document_id", sa.Text(collation="C"), nullable=False),
        sa.ForeignKeyConstraint(
            ["document_id"], ["document.id"], name=op.f("fk_document_reader_document_id")
        ),
        sa.PrimaryKeyConstraint("organisation_id", "document_id", name=op.f("pk_document_reader")),
    )
    op.create_index("ix_document_reader_document", "document_reader", ["document_id"], unique=False)
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
