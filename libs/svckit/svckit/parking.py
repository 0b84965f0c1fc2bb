"""Events that could not be applied wait here, with all later ones of their key, in order.

An operator mends and replays the key, or skips one event or the whole key; skipping is audited.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from svckit.eventlog import Stored


class Key(NamedTuple):
    """What keeps events of a topic in order."""

    topic: str
    name: str


@dataclass(frozen=True)
class Block:
    """Why a key waits: `poison` (an event fails), or `gap` (a version of `subject` is missing)."""

    reason: str
    subject: str | None = None


# what the place of a record without a readable key begins with
KEYLESS = "@"
_BLOCKS = text(
    "SELECT topic, key, reason, subject FROM blocked_key"
    " WHERE consumer = :consumer AND topic = ANY(CAST(:topics AS text[]))"
    " AND key = ANY(CAST(:keys AS text[]))"
    # Waits for a replay under way: what it leaves behind decides.
    " FOR SHARE"
)
_BLOCK = text(
    "INSERT INTO blocked_key (consumer, topic, key, reason, subject)"
    " VALUES (:consumer, :topic, :key, :reason, :subject) ON CONFLICT DO NOTHING"
)
_PARK = text(
    'INSERT INTO parked_message (consumer, log_id, topic, partition, "offset", key, raw_key,'
    " headers, value, reason, error) VALUES (:consumer, :log_id, :topic, :partition, :offset,"
    " :key, :raw_key, CAST(:headers AS jsonb), :value, :reason, :error) ON CONFLICT DO NOTHING"
)
_VERSIONS = text(
    "SELECT subject, last_version FROM aggregate_version"
    " WHERE consumer = :consumer AND subject = ANY(CAST(:subjects AS text[]))"
)
_SAVE = text(
    "INSERT INTO aggregate_version (consumer, subject, last_version)"
    " SELECT :consumer, s, v"
    " FROM unnest(CAST(:subjects AS text[]), CAST(:versions AS int[])) AS u(s, v) ORDER BY s"
    " ON CONFLICT (consumer, subject) DO UPDATE"
    " SET last_version = greatest(aggregate_version.last_version, excluded.last_version)"
)
_COUNTS = text(
    "SELECT (SELECT count(*) FROM parked_message WHERE consumer = :consumer),"
    " (SELECT count(*) FROM blocked_key WHERE consumer = :consumer)"
)


def key_of(record: Stored) -> Key:
    """Return the key that keeps order; a record without a readable one stands alone."""
    try:
        if record.key:
            return Key(record.topic, record.key.decode())
    except UnicodeDecodeError:
        pass
    return Key(record.topic, f"{KEYLESS}{record.partition}/{record.offset}")


async def blocks(tx: AsyncSession, consumer: str, keys: Collection[Key]) -> dict[Key, Block]:
    """Return which of the keys wait, and why; they stay so to the end of the transaction.

    Others may be among them: keys of one of the topics that are named as one of another.
    """
    wanted = {
        "topics": sorted({key.topic for key in keys}),
        "keys": sorted({key.name for key in keys}),
    }
    found = await tx.execute(_BLOCKS, {"consumer": consumer} | wanted)
    return {Key(row.topic, row.key): Block(row.reason, row.subject) for row in found}


async def versions(tx: AsyncSession, consumer: str, subjects: Collection[str]) -> dict[str, int]:
    """Return the last version applied of each of the aggregates known."""
    found = await tx.execute(_VERSIONS, {"consumer": consumer, "subjects": sorted(subjects)})
    return {row.subject: row.last_version for row in found}


async def save_versions(tx: AsyncSession, consumer: str, known: Mapping[str, int]) -> None:
    """Remember the last version of each aggregate; never backwards."""
    if known:
        values = {"subjects": list(known), "versions": list(known.values())}
        await tx.execute(_SAVE, {"consumer": consumer} | values)


async def park(
    tx: AsyncSession, consumer: str, log_id: str, record: Stored, block: Block, *, error: str
) -> None:
    """Keep the record as it came and block its key."""
    key = key_of(record).name
    block_row = {"reason": block.reason, "subject": block.subject}
    await tx.execute(_BLOCK, {"consumer": consumer, "topic": record.topic, "key": key} | block_row)
    await tx.execute(
        _PARK,
        {
            "consumer": consumer,
            "log_id": log_id,
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "key": key,
            "raw_key": record.key,
            "headers": orjson.dumps(
                {name: value.decode("latin-1") for name, value in record.headers.items()}
            ).decode(),
            "value": record.value,
            "reason": block.reason,
            "error": error,
        },
    )


async def counts(tx: AsyncSession, consumer: str) -> tuple[int, int]:
    """Return how many messages are parked and how many keys blocked."""
    parked, blocked = (await tx.execute(_COUNTS, {"consumer": consumer})).one()
    return int(parked), int(blocked)
