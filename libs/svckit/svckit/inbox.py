"""Batches of partitions, in one transaction: fence, dedupe, version check, effects, offsets.

The offset row's lock keeps a second owner out during a rebalance; the inbox drops what was seen;
versions prove that nothing of an aggregate is missing. A missing version holds its key back.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import groupby

from opentelemetry.trace import SpanKind
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from svckit import parking, telemetry
from svckit.cloudevents import Received, parse
from svckit.eventlog import Batches, LogError, Stored, TopicPartition
from svckit.failpoints import failpoint
from svckit.parking import Block, Key, key_of

Handler = Callable[[AsyncSession, Received], Awaitable[None]]
# An event in the form of its type's next major version: what is still on the log, or parked.
Upcaster = Callable[[Received], Received]
# Goes on with what was kept back of a key (of a topic), in the transaction that makes it free.
Freed = Callable[[AsyncSession, str, str], Awaitable[None]]


class Fenced(LogError):
    """The log was replaced while this process still read the old one."""


@dataclass(frozen=True)
class Together:
    """A handler of many events at once: what it costs hardly grows with their number.

    It gets those that follow one another in a batch, in order, each with the traceparent of its own
    span. An event of another handler between them is handled between them.
    """

    apply: Callable[[AsyncSession, Sequence[Received]], Awaitable[None]]

    async def __call__(self, tx: AsyncSession, event: Received) -> None:
        """Handle one event, in its span."""
        own = telemetry.traceparent() or event.traceparent
        await self.apply(tx, [replace(event, traceparent=own)])


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

    @property
    def takes_many(self) -> bool:
        """Tell whether it costs less to apply the batches of several partitions at once."""
        return any(isinstance(handler, Together) for handler in self.handlers.values())

    def understood(self, event: Received) -> Received:
        """Return the event in the newest form known: each upcaster leads one version up."""
        while upcast := self.upcasters.get(event.type):
            event = upcast(event)
        return event


@dataclass
class Applied:
    """What became of batches: where each goes on, the outcome per event, keys whose gap closed."""

    next_offsets: dict[TopicPartition, int]
    outcomes: list[tuple[str, str]] = field(default_factory=list)
    mended: set[tuple[TopicPartition, str]] = field(default_factory=set)


# in one order: members that both believe to own partitions never wait in a circle
_FENCE = text(
    "SELECT topic, partition, next_offset, log_id FROM consumer_offset"
    " JOIN unnest(CAST(:topics AS text[]), CAST(:partitions AS int[])) AS u(topic, partition)"
    " USING (topic, partition) WHERE consumer = :consumer"
    " ORDER BY topic, partition FOR UPDATE OF consumer_offset"
)
_ENTER = text(
    "INSERT INTO consumer_offset (consumer, topic, partition, next_offset, log_id)"
    " VALUES (:consumer, :topic, :partition, 0, :log_id) ON CONFLICT DO NOTHING"
)
_MOVE = text(
    "UPDATE consumer_offset o"
    " SET next_offset = u.next_offset, log_id = u.log_id, updated_at = clock_timestamp()"
    " FROM unnest(CAST(:topics AS text[]), CAST(:partitions AS int[]),"
    " CAST(:next_offsets AS bigint[]), CAST(:log_ids AS text[]))"
    " AS u(topic, partition, next_offset, log_id)"
    " WHERE o.consumer = :consumer AND o.topic = u.topic AND o.partition = u.partition"
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
    (*_, next_offset, known) = (await tx.execute(_FENCE, _named(consumer, [at]))).one()
    if known == log_id:
        return int(next_offset)
    await move(tx, consumer, at, 0, log_id)
    return None


async def move(
    tx: AsyncSession, consumer: str, at: TopicPartition, next_offset: int, log_id: str
) -> None:
    """Set where to read on, in the transaction of the effects."""
    await _move(tx, consumer, {at: next_offset}, {at.topic: log_id})


async def _move(
    tx: AsyncSession,
    consumer: str,
    next_offsets: Mapping[TopicPartition, int],
    log_ids: Mapping[str, str],
) -> None:
    places = {
        "next_offsets": list(next_offsets.values()),
        "log_ids": [log_ids[at.topic] for at in next_offsets],
    }
    await tx.execute(_MOVE, _named(consumer, next_offsets) | places)


def _named(consumer: str, partitions: Iterable[TopicPartition]) -> dict[str, object]:
    topics, numbers = zip(*partitions, strict=True)
    return {"consumer": consumer, "topics": list(topics), "partitions": list(numbers)}


async def fence(tx: AsyncSession, consumer: str, at: TopicPartition, log_id: str) -> int:
    """Lock the partition's offset and return it. Raises Fenced."""
    return (await fences(tx, consumer, [at], {at.topic: log_id}))[at]


async def fences(
    tx: AsyncSession,
    consumer: str,
    partitions: Iterable[TopicPartition],
    log_ids: Mapping[str, str],
) -> dict[TopicPartition, int]:
    """Lock the partitions' offsets and return them. Raises Fenced."""
    places = list(partitions)
    rows = await tx.execute(_FENCE, _named(consumer, places))
    found = {(topic, partition): (offset, log_id) for topic, partition, offset, log_id in rows}
    for at in places:
        if found.get(at, (0, ""))[1] != log_ids[at.topic]:
            raise Fenced(f"{at.topic}/{at.partition} is read from another log")
    return {at: int(found[at][0]) for at in places}


def judge(
    events: Sequence[tuple[Key, Received]],
    versions: MutableMapping[str, int],
    blocks: MutableMapping[Key, Block],
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
    tx: AsyncSession, reader: Reader, log_ids: Mapping[str, str], batches: Batches
) -> Applied:
    """Apply the records that are due. Raises Unreadable, Fenced, or what a handler raises."""
    applied = Applied(await fences(tx, reader.consumer, batches, log_ids))
    due = _due(batches, applied.next_offsets)
    if not due:
        return applied
    events = [(key_of(record), parse(record)) for record in due]
    blocks = await parking.blocks(tx, reader.consumer, {key for key, _ in events})
    versions = await parking.versions(tx, reader.consumer, {event.subject for _, event in events})
    waiting = set(blocks)
    verdicts = judge(events, versions, blocks)
    fresh = await _fresh(tx, reader, events, verdicts)
    taken: list[Received] = []
    for record, (key, event), verdict in zip(due, events, verdicts, strict=True):
        at = TopicPartition(record.topic, record.partition)
        applied.next_offsets[at] = record.offset + 1
        if verdict is Verdict.PARK:
            # what comes before is not decided by what waits from here on
            applied.outcomes += await _effects(tx, reader, taken)
            taken = []
            await _park(tx, reader, log_ids[at.topic], record, blocks[key])
            waiting.add(key)
        elif verdict is Verdict.APPLY and key in waiting:
            applied.mended.add((at, key.name))
        if verdict is Verdict.APPLY and event.id in fresh:
            fresh.discard(event.id)
            taken.append(event)
        else:
            dropped = Verdict.DROP if verdict is Verdict.APPLY else verdict
            applied.outcomes.append((event.type, dropped.value))
    applied.outcomes += await _effects(tx, reader, taken)
    await parking.save_versions(tx, reader.consumer, versions)
    await _move(tx, reader.consumer, applied.next_offsets, log_ids)
    failpoint("inbox.applied")
    return applied


def _due(batches: Batches, begin: Mapping[TopicPartition, int]) -> list[Stored]:
    return [
        record
        for at, records in batches.items()
        for record in records
        if record.offset >= begin[at]
    ]


async def _fresh(
    tx: AsyncSession,
    reader: Reader,
    events: Sequence[tuple[Key, Received]],
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


async def _effects(
    tx: AsyncSession, reader: Reader, events: Sequence[Received]
) -> list[tuple[str, str]]:
    """Run the handlers in order, one of many once for as many as follow one another."""
    outcomes = []
    understood = [(event.type, reader.understood(event)) for event in events]
    for handler, found in groupby(understood, lambda one: reader.handlers.get(one[1].type)):
        run = list(found)
        if isinstance(handler, Together) and len(run) > 1:
            await _handle_run(tx, handler, [event for _, event in run])
            became = ["applied"] * len(run)
        else:
            became = [await handle(tx, reader, event) for _, event in run]
        for (kind, _), one in zip(run, became, strict=True):
            outcomes.append((kind, one))
            failpoint("inbox.effect")
    return outcomes


async def _handle_run(tx: AsyncSession, handler: Together, events: Sequence[Received]) -> None:
    named = [(f"process {each.type}", each.traceparent, {"event_id": each.id}) for each in events]
    with telemetry.side_by_side(named, kind=SpanKind.CONSUMER) as parents:
        traced = zip(events, parents, strict=True)
        await handler.apply(tx, [replace(each, traceparent=parent) for each, parent in traced])


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
