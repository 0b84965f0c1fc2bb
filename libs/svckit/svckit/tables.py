"""The tables every service's database has beside its own.

Sending: outbox. Receiving: consumer_offset, watermark, inbox, aggregate_version, parked_message,
blocked_key.
Asking: idempotency, audit. Names say `consumer` for the consumer group, so that two groups may
live in one database.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

TEXT = Text(collation="C")
INSTANT = DateTime(timezone=True)


def at(name: str) -> Column[object]:
    return Column(name, INSTANT, nullable=False, server_default=func.clock_timestamp())


outbox = Table(
    "outbox",
    metadata,
    # CACHE 1 is a condition of the order: a cached block of numbers lets a later commit number lower.
    Column("seq", BigInteger, Identity(always=True, cache=1), primary_key=True),
    Column("slot", SmallInteger, nullable=False),
    Column("event_id", TEXT, nullable=False),
    Column("type", TEXT, nullable=False),
    Column("subject", TEXT, nullable=False),
    Column("version", Integer, nullable=False),
    Column("key", TEXT, nullable=False),
    # Serialised once at insert: every resend is the same bytes.
    Column("headers", JSONB, nullable=False),
    Column("value", LargeBinary, nullable=False),
    at("created_at"),
    UniqueConstraint("event_id"),
    Index("ix_outbox_slot_seq", "slot", "seq"),
)

consumer_offset = Table(
    "consumer_offset",
    metadata,
    Column("consumer", TEXT, primary_key=True),
    Column("topic", TEXT, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", BigInteger, nullable=False, server_default="0"),
    # Identity of the log the offset counts in; another identity makes the offset meaningless.
    Column("log_id", TEXT, nullable=False),
    at("updated_at"),
)

# Up to which instant everything of a partition has been applied, as its owner's marks tell.
watermark = Table(
    "watermark",
    metadata,
    Column("consumer", TEXT, primary_key=True),
    Column("topic", TEXT, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("partitions", Integer, nullable=False),
    Column("at", INSTANT, nullable=False),
)

inbox = Table(
    "inbox",
    metadata,
    Column("consumer", TEXT, primary_key=True),
    Column("event_id", TEXT, primary_key=True),
    at("received_at"),
    Index("ix_inbox_received_at", "received_at"),
)

aggregate_version = Table(
    "aggregate_version",
    metadata,
    Column("consumer", TEXT, primary_key=True),
    Column("subject", TEXT, primary_key=True),
    Column("last_version", Integer, nullable=False),
)

parked_message = Table(
    "parked_message",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("consumer", TEXT, nullable=False),
    Column("log_id", TEXT, nullable=False),
    Column("topic", TEXT, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("key", TEXT, nullable=False),
    # The record as it came, also when it could not be read.
    Column("raw_key", LargeBinary),
    Column("headers", JSONB, nullable=False),
    Column("value", LargeBinary),
    Column("reason", TEXT, nullable=False),
    Column("error", TEXT, nullable=False),
    at("parked_at"),
    UniqueConstraint("consumer", "log_id", "topic", "partition", "offset"),
    Index("ix_parked_message_consumer_topic_key", "consumer", "topic", "key", "id"),
)

blocked_key = Table(
    "blocked_key",
    metadata,
    Column("consumer", TEXT, primary_key=True),
    Column("topic", TEXT, primary_key=True),
    Column("key", TEXT, primary_key=True),
    Column("reason", TEXT, nullable=False),
    # The aggregate whose next version is missing, when that is the reason.
    Column("subject", TEXT),
    at("blocked_at"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("client_id", TEXT, primary_key=True),
    Column("key", TEXT, primary_key=True),
    Column("method", TEXT, primary_key=True),
    Column("path", TEXT, primary_key=True),
    Column("fingerprint", TEXT, nullable=False),
    # Empty until the action of the same transaction has its reply.
    Column("status", SmallInteger),
    Column("headers", JSONB),
    Column("body", LargeBinary),
    at("created_at"),
    Index("ix_idempotency_created_at", "created_at"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", TEXT, primary_key=True),
    at("at"),
    Column("organisation_id", TEXT),
    Column("client_id", TEXT),
    Column("actor", TEXT),
    Column("purpose", TEXT),
    Column("action", TEXT, nullable=False),
    Column("resource", TEXT, nullable=False),
    Column("version", Integer),
    Column("trace_id", TEXT),
    Index("ix_audit_resource_at", "resource", "at"),
    Index("ix_audit_at", "at"),
)
