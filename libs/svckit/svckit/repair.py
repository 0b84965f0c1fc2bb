"""What an operator does with parked events: list, replay in order, skip one, skip a key.

A replay stops at the first event that still fails. It runs beside the live consumer, which parks
behind it until the key is free. Skipping tells successors that the version was seen.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from svckit import inbox, parking
from svckit.clock import now
from svckit.cloudevents import Unreadable, parse
from svckit.db import Database
from svckit.eventlog import Stored, TopicPartition
from svckit.faults import is_transient
from svckit.ids import new_id
from svckit.inbox import Reader
from svckit.tables import audit

_LIST = text(
    "SELECT b.topic, b.key, b.reason, b.subject, b.blocked_at, count(p.id) AS events,"
    " (array_agg(p.error ORDER BY p.id))[1] AS error, min(p.id) AS first_id"
    " FROM blocked_key b LEFT JOIN parked_message p USING (consumer, topic, key)"
    " WHERE b.consumer = :consumer GROUP BY b.consumer, b.topic, b.key ORDER BY b.blocked_at"
)
_LOCK = text(
    "SELECT 1 FROM blocked_key"
    " WHERE consumer = :consumer AND topic = :topic AND key = :key FOR UPDATE"
)
_FIRST = text(
    'SELECT id, topic, partition, "offset", raw_key, headers, value FROM parked_message'
    " WHERE consumer = :consumer AND topic = :topic AND key = :key ORDER BY id LIMIT 1"
)
_FIND = text(
    "SELECT consumer, topic, key FROM parked_message WHERE id = :id AND consumer = :consumer"
)
_MESSAGE = text(
    'SELECT id, topic, partition, "offset", raw_key, headers, value FROM parked_message'
    " WHERE id = :id"
)
_DELETE = text("DELETE FROM parked_message WHERE id = :id")
_UNBLOCK = text(
    "DELETE FROM blocked_key WHERE consumer = :consumer AND topic = :topic AND key = :key"
)
_GAPS = text(
    "SELECT DISTINCT key FROM blocked_key b LEFT JOIN parked_message p USING (consumer, topic, key)"
    " WHERE b.consumer = :consumer AND b.topic = :topic AND b.reason = 'gap'"
    # nothing waits behind it any more: no partition says whose it is
    " AND (p.partition = :partition OR p.id IS NULL)"
)
_REASON = text(
    "UPDATE blocked_key SET reason = 'gap', subject = :subject"
    " WHERE consumer = :consumer AND topic = :topic AND key = :key"
)


@dataclass(frozen=True)
class BlockedKey:
    """A key that waits: how many events, since when, and the first one's error."""

    topic: str
    key: str
    reason: str
    subject: str | None
    blocked_at: datetime
    events: int
    error: str | None
    first_id: int | None

    @property
    def told(self) -> str:
        return (
            f"{self.topic} {self.key}: {self.events} events since"
            f" {self.blocked_at:%Y-%m-%dT%H:%M:%SZ}, {self.reason},"
            f" first is message {self.first_id}: {self.error}"
        )


@dataclass(frozen=True)
class Replayed:
    """How far a replay came; `stopped_by` is empty when the key is free again."""

    applied: int
    stopped_by: str = ""

    @property
    def told(self) -> str:
        return f"{self.applied} applied; {self.stopped_by or 'the key is free'}"


async def blocked_keys(tx: AsyncSession, consumer: str) -> list[BlockedKey]:
    """Return the keys that wait, the longest waiting first."""
    rows = (await tx.execute(_LIST, {"consumer": consumer})).all()
    return [
        BlockedKey(r.topic, r.key, r.reason, r.subject, r.blocked_at, r.events, r.error, r.first_id)
        for r in rows
    ]


async def gaps(tx: AsyncSession, consumer: str, at: TopicPartition) -> list[str]:
    """Return the keys of a partition that wait for a version; it may have come meanwhile."""
    here = {"consumer": consumer, "topic": at.topic, "partition": at.partition}
    return list(await tx.scalars(_GAPS, here))


async def replay(
    db: Database,
    reader: Reader,
    topic: str,
    key: str,
    *,
    accept_gaps: bool = False,
    actor: str | None = None,
) -> Replayed:
    """Apply the key's parked events in order until one fails or none is left.

    `accept_gaps` takes a missing version as never to come: the operator's decision. What an
    `actor` replays is audited, event by event; what mends itself has none.
    """
    here = {"consumer": reader.consumer, "topic": topic, "key": key}
    applied = 0
    while True:
        try:
            async with db.begin() as tx:
                stopped = await _step(tx, reader, here, accept_gaps=accept_gaps, actor=actor)
        except Exception as error:
            if is_transient(error):
                raise
            return Replayed(applied, type(error).__name__)
        if stopped is not None:
            return Replayed(applied, stopped)
        applied += 1


async def _step(
    tx: AsyncSession,
    reader: Reader,
    here: dict[str, str],
    *,
    accept_gaps: bool,
    actor: str | None,
) -> str | None:
    """Apply one event; return why to stop, an empty text when the key is free."""
    if (await tx.execute(_LOCK, here)).first() is None:
        return ""
    row = (await tx.execute(_FIRST, here)).first()
    if row is None:
        await _free(tx, reader, here)
        return ""
    event = parse(stored(row))
    last = (await parking.versions(tx, reader.consumer, {event.subject})).get(event.subject, 0)
    if event.version > last + 1 and not accept_gaps:
        await tx.execute(_REASON, here | {"subject": event.subject})
        return "gap"
    if event.version > last and await inbox.is_fresh(tx, reader.consumer, event.id):
        await inbox.handle(tx, reader, event)
        await parking.save_versions(tx, reader.consumer, {event.subject: event.version})
    await tx.execute(_DELETE, {"id": row.id})
    if actor is not None:
        await _note(tx, "event.replay", actor, event.id, event.version)
    await _free_if_last(tx, reader, here)
    return None


async def skip(tx: AsyncSession, reader: Reader, message_id: int, *, actor: str) -> bool:
    """Give up one parked event, so that its successors can be replayed; tell if it was there.

    The key is free where none waits behind it.
    """
    found = (await tx.execute(_FIND, {"id": message_id, "consumer": reader.consumer})).first()
    if found is None:
        return False
    here = {"consumer": reader.consumer, "topic": found.topic, "key": found.key}
    await tx.execute(_LOCK, here)
    row = (await tx.execute(_MESSAGE, {"id": message_id})).first()
    if row is None:
        return False
    await _give_up(tx, reader.consumer, row, actor)
    await _free_if_last(tx, reader, here)
    return True


async def skip_key(tx: AsyncSession, reader: Reader, topic: str, key: str, *, actor: str) -> int:
    """Give up every parked event of the key, free it, and return how many there were."""
    here = {"consumer": reader.consumer, "topic": topic, "key": key}
    await tx.execute(_LOCK, here)
    count = 0
    while (row := (await tx.execute(_FIRST, here)).first()) is not None:
        await _give_up(tx, reader.consumer, row, actor)
        count += 1
    await _free(tx, reader, here)
    return count


async def _free_if_last(tx: AsyncSession, reader: Reader, here: dict[str, str]) -> None:
    """In the commit that ends the last event: who died after it would leave the key blocked."""
    if (await tx.execute(_FIRST, here)).first() is None:
        await _free(tx, reader, here)


async def _free(tx: AsyncSession, reader: Reader, here: dict[str, str]) -> None:
    await tx.execute(_UNBLOCK, here)
    if reader.freed is not None:
        await reader.freed(tx, here["topic"], here["key"])


async def _give_up(tx: AsyncSession, consumer: str, row: Any, actor: str) -> None:
    resource, version = f"{row.topic}/{row.partition}/{row.offset}", None
    try:
        event = parse(stored(row))
    except Unreadable:
        pass
    else:
        resource, version = event.id, event.version
        await parking.save_versions(tx, consumer, {event.subject: event.version})
    await tx.execute(_DELETE, {"id": row.id})
    await _note(tx, "event.skip", actor, resource, version)


async def _note(
    tx: AsyncSession, action: str, actor: str, resource: str, version: int | None
) -> None:
    await tx.execute(
        audit.insert().values(
            id=new_id("aud"),
            at=now(),
            actor=actor,
            action=action,
            resource=resource,
            version=version,
        )
    )


def stored(row: Any) -> Stored:
    """Return a parked row as the record it was."""
    headers = {name: value.encode("latin-1") for name, value in row.headers.items()}
    return Stored(row.topic, row.partition, row.offset, row.raw_key, headers, row.value)
