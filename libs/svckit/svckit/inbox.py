"""One batch of one partition, in one transaction: fence, dedupe, version check, effects, offset.

The offset row's lock keeps a second owner out during a rebalance; the inbox drops what was seen;
versions prove that nothing of an aggregate is missing. A missing version holds its key back.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from opentelemetry.trace import SpanKind
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from svckit import parking, telemetry
from svckit.cloudevents import Received, parse
from svckit.eventlog import LogError, Stored, TopicPartition
from svckit.failpoints import failpoint
from svckit.parking import Block, key_of

Handler = Callable[[AsyncSession, Received], Awaitable[None]]
# An event in the form of its type's next major version: what is still on the log, or parked.
Upcaster = Callable[[Received], Received]
# Goes on with what was kept back of a key (of a topic), in the transaction that makes it free.
Freed = Callable[[AsyncSession, str, str], Awaitable[None]]


class Fenced(LogError):
    """The log was replaced while this process still read the old one."""


class Verdict(Enum):
    APPLY = "applied"
    DROP = "duplicate"
    PARK = "parked"


@dataclass(frozen=True)
class Reader:
    """Who reads: the consumer group and what it does with each type."""

    consumer: str
    handlers: Mapping[str, Handler]
    upcasters: Mapping[str, Upcaster] = field(default_factory=dict)
    freed: Freed | None = None

    def knows(self, kind: str) -> bool:
        """Tell whether events of the type are handled, in this form or a newer one."""
        return kind in self.handlers or kind in self.upcasters

    def understood(self, event: Received) -> Received:
        """Return the event in the newest form known: each upcaster leads one version up."""
        while upcast := self.upcasters.get(event.type):
            event = upcast(event)
        return event


@dataclass
class Applied:
    """What became of a batch: the outcome per event, and keys whose gap has closed."""

    next_offset: int
    outcomes: list[tuple[str, str]] = field(default_factory=list)
    mended: set[str] = field(default_factory=set)


_FENCE = text(
    "SELECT next_offset, log_id FROM consumer_offset"
    " WHERE consumer = :consumer AND topic = :topic AND partition = :partition FOR UPDATE"
)
_ENTER = text(
    "INSERT INTO consumer_offset (consumer, topic, partition, next_offset, log_id)"
    " VALUES (:consumer, :topic, :partition, 0, :log_id) ON CONFLICT DO NOTHING"
)
_MOVE = text(
    "UPDATE consumer_offset"
    " SET next_offset = :next_offset, log_id = :log_id, updated_at = clock_timestamp()"
    " WHERE consumer = :consumer AND topic = :topic AND partition = :partition"
)
_FRESH = text(
    "INSERT INTO inbox (consumer, event_id)"
    " SELECT :consumer, unnest(CAST(:ids AS text[])) ON CONFLICT DO NOTHING RETURNING event_id"
)
_FORGET = text("DELETE FROM inbox WHERE received_at < clock_timestamp() - :days * interval '1 day'")


async def position(tx: AsyncSession, consumer: str, at: TopicPartition, log_id: str) -> int | None:
    """Return where to read on; None (and begin again at 0) when the log is another one.

    Raises whatever the database raises.
    """
    here = {"consumer": consumer, "topic": at.topic, "partition": at.partition}
    await tx.execute(_ENTER, here | {"log_id": log_id})
    next_offset, known = (await tx.execute(_FENCE, here)).one()
    if known == log_id:
        return int(next_offset)
    await move(tx, consumer, at, 0, log_id)
    return None


async def move(
    tx: AsyncSession, consumer: str, at: TopicPartition, next_offset: int, log_id: str
) -> None:
    """Set where to read on, in the transaction of the effects."""
    here = {"consumer": consumer, "topic": at.topic, "partition": at.partition}
    await tx.execute(_MOVE, here | {"next_offset": next_offset, "log_id": log_id})


async def fence(tx: AsyncSession, consumer: str, at: TopicPartition, log_id: str) -> int:
    """Lock the partition's offset and return it. Raises Fenced."""
    here = {"consumer": consumer, "topic": at.topic, "partition": at.partition}
    row = (await tx.execute(_FENCE, here)).one_or_none()
    if row is None or row.log_id != log_id:
        raise Fenced(f"{at.topic}/{at.partition} is read from another log")
    return int(row.next_offset)


def judge(
    events: Sequence[tuple[str, Received]],
    versions: MutableMapping[str, int],
    blocks: MutableMapping[str, Block],
) -> list[Verdict]:
    """Decide on events (with their keys) in order; `versions` and `blocks` follow the decisions.

    version <= last: seen. last + 1: next. Above: one is missing, its key waits from here on.
    """
    verdicts = []
    for key, event in events:
        last = versions.get(event.subject, 0)
        block = blocks.get(key)
        if event.version <= last:
            verdicts.append(Verdict.DROP)
        elif block and not (block.subject == event.subject and event.version == last + 1):
            verdicts.append(Verdict.PARK)
        elif event.version > last + 1:
            blocks[key] = Block("gap", event.subject)
            verdicts.append(Verdict.PARK)
        else:
            versions[event.subject] = event.version
            verdicts.append(Verdict.APPLY)
    return verdicts


async def apply(
    tx: AsyncSession,
    reader: Reader,
    at: TopicPartition,
    log_id: str,
    records: Sequence[Stored],
) -> Applied:
    """Apply the records that are due. Raises Unreadable, Fenced, or what a handler raises."""
    begin = await fence(tx, reader.consumer, at, log_id)
    due = [record for record in records if record.offset >= begin]
    if not due:
        return Applied(begin)
    events = [(key_of(record), parse(record)) for record in due]
    blocks = await parking.blocks(tx, reader.consumer, at.topic, {key for key, _ in events})
    versions = await parking.versions(tx, reader.consumer, {event.subject for _, event in events})
    before = dict(blocks)
    verdicts = judge(events, versions, blocks)
    applied = Applied(due[-1].offset + 1)
    fresh = await _fresh(tx, reader, events, verdicts)
    for record, (key, event), verdict in zip(due, events, verdicts, strict=True):
        if verdict is Verdict.PARK:
            await _park(tx, reader, log_id, record, blocks[key])
        elif verdict is Verdict.APPLY and key in before:
            applied.mended.add(key)
        applied.outcomes.append((event.type, await _effect(tx, reader, event, verdict, fresh)))
        failpoint("inbox.effect")
    await parking.save_versions(tx, reader.consumer, versions)
    await move(tx, reader.consumer, at, applied.next_offset, log_id)
    failpoint("inbox.applied")
    return applied


async def _fresh(
    tx: AsyncSession,
    reader: Reader,
    events: Sequence[tuple[str, Received]],
    verdicts: Sequence[Verdict],
) -> set[str]:
    ids = [
        event.id
        for (_, event), verdict in zip(events, verdicts, strict=True)
        if verdict is Verdict.APPLY
    ]
    if not ids:
        return set()
    found = await tx.execute(_FRESH, {"consumer": reader.consumer, "ids": ids})
    return set(found.scalars())


async def is_fresh(tx: AsyncSession, consumer: str, event_id: str) -> bool:
    """Mark the event as seen; tell whether it was not before."""
    found = await tx.execute(_FRESH, {"consumer": consumer, "ids": [event_id]})
    return found.first() is not None


async def _effect(
    tx: AsyncSession, reader: Reader, event: Received, verdict: Verdict, fresh: set[str]
) -> str:
    if verdict is not Verdict.APPLY:
        return str(verdict.value)
    if event.id not in fresh:
        return str(Verdict.DROP.value)
    fresh.discard(event.id)
    return await handle(tx, reader, event)


async def handle(tx: AsyncSession, reader: Reader, event: Received) -> str:
    """Run the handler of the event in the trace that caused it; types without one are ignored."""
    event = reader.understood(event)
    handler = reader.handlers.get(event.type)
    if handler is None:
        return "ignored"
    with (
        telemetry.continue_from(event.traceparent),
        telemetry.span(f"process {event.type}", kind=SpanKind.CONSUMER, event_id=event.id),
    ):
        await handler(tx, event)
    return "applied"


async def _park(
    tx: AsyncSession, reader: Reader, log_id: str, record: Stored, block: Block
) -> None:
    behind = "a version before it is missing" if block.reason == "gap" else "behind a parked event"
    await parking.park(tx, reader.consumer, log_id, record, block, error=behind)


async def forget(tx: AsyncSession, days: int) -> None:
    """Delete what was seen that many days ago: more than the log keeps, or replays apply twice."""
    await tx.execute(_FORGET, {"days": days})
