"""Reads topics for a service: batches in, effects and offset in one transaction, nothing skipped.

A passing failure (database, dependency) pauses its partition and is tried without end. A failure
that repeats parks the event and blocks its key; other keys flow. Too many parked events mean that
the consumer is wrong, not the data: then the partition waits.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import structlog
from prometheus_client import Counter, Gauge
from sqlalchemy.ext.asyncio import AsyncSession

from svckit import inbox, parking, rights, turns
from svckit.cloudevents import Received, Unreadable
from svckit.db import Database
from svckit.eventlog import Batches, EventLog, LogError, Mark, OffsetLost, Stored, TopicPartition
from svckit.eventlog import Consumer as LogConsumer
from svckit.failpoints import failpoint
from svckit.faults import is_transient
from svckit.inbox import Freed, Handler, Reader, Upcaster
from svckit.repair import gaps, replay
from svckit.watch import Stuck, Watch

__all__ = ["Consumer", "Freed", "Handler", "Received", "Stuck", "Upcaster"]

_log = structlog.get_logger("consume")
_DONE = Counter(
    "careloop_consumed_total", "Events by what became of them", ["consumer", "type", "outcome"]
)
_RETRIES = Counter("careloop_consumer_retries_total", "Passing failures", ["consumer"])
_REPLACED = Counter(
    "careloop_log_replaced_total", "Offsets that meant nothing any more", ["consumer"]
)
_STOPPED = Gauge(
    "careloop_consumer_stopped", "Partitions that wait as too many events fail", ["consumer"]
)

_BATCH = 500
_WAIT_S = 0.5
_TRIES = 3
_PASS_S = 30.0
_SETTLED_S = 30.0
# A wrong consumer shows at once: 1 % of a minute's events, but not for the first few.
_MAX_BLOCKED, _PARKED_FREE, _PARKED_SHARE = 100, 10, 0.01


class TooManyParked(LogError):
    """Parking more would hide that this consumer is wrong."""


class Consumer:
    """One member of the group `group`, for all topics of the service."""

    def __init__(
        self,
        db: Database,
        log: EventLog,
        group: str,
        topics: Sequence[str],
        handlers: Mapping[str, Handler],
        *,
        stuck_after_s: float = 60.0,
        rights_from: Collection[str] = (),
        rights_by_key: Collection[str] = (),
        learn: Callable[[], Awaitable[object]] | None = None,
        upcasters: Mapping[str, Upcaster] | None = None,
        freed: Freed | None = None,
    ) -> None:
        """`rights_from` are the topics whose marks say how fresh the rights are.

        Of `rights_by_key` a key that waits for an operator makes only itself unknown.
        `learn` lets handlers decide by the rules in force; it is called before every batch.
        `upcasters` bring events of an older major version to the next one. `freed` goes on with a
        key that waited.
        """
        self._db = db
        self._log = log
        self._topics = tuple(topics)
        self._reader = Reader(group, handlers, upcasters or {}, freed)
        self._watch = Watch(db, log, group, stuck_after_s)
        self._rights_from = frozenset(rights_from)
        self._rights_by_key = frozenset(rights_by_key)
        self._learn = learn
        self._passed_at: dict[TopicPartition, float] = {}
        self._log_ids: dict[str, str] = {}
        self._failures: dict[TopicPartition, int] = {}
        self._not_before: dict[TopicPartition, float] = {}
        self._stopped: set[TopicPartition] = set()
        self._minute: deque[tuple[float, int, int]] = deque()

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop`; survive every outage. Raises Stuck when only a restart helps."""
        failures = 0
        while not stop.is_set():
            started = time.monotonic()
            try:
                await self._session(stop)
            except Stuck:
                raise
            except Exception as error:  # noqa: BLE001  # the loop outlives whatever happens to it
                failures = 1 if time.monotonic() - started > _SETTLED_S else failures + 1
                _log.warning("consumer starts anew", reason=_reason(error))
                await turns.pause(stop, turns.backoff(failures))

    async def _session(self, stop: asyncio.Event) -> None:
        """Be a member of the group until something fails."""
        await self._log.ensure(self._topics)
        self._log_ids = {topic: await self._log.identity(topic) for topic in self._topics}
        self._failures.clear()
        self._not_before.clear()
        self._stopped.clear()
        member = await self._log.consumer(self._reader.consumer, self._topics)
        try:
            while not stop.is_set():
                await self._place(member)
                async with member.batches(limit=_BATCH, wait_s=_WAIT_S) as batches:
                    if batches:
                        failpoint("consume.fetched")
                    if not await self._at_once(member, batches):
                        for at, records in batches.items():
                            if not stop.is_set():
                                await self._partition(member, at, records)
                await self._marked(await member.marks())
                await self._watch.look(member, self._log_ids, set(self._not_before))
        finally:
            await member.close()

    async def _place(self, member: LogConsumer) -> None:
        """Tell the log where to begin with partitions that are new or waited long enough."""
        now = time.monotonic()
        for at in sorted(member.unplaced()):
            if self._not_before.get(at, 0.0) > now:
                continue
            try:
                await self._place_one(member, at)
                self._not_before.pop(at, None)
            except OffsetLost:
                # what this member reads is gone: the next one finds what is there now
                raise
            except Exception as error:
                if not is_transient(error):
                    raise
                self._hold(member, at, error)

    async def _place_one(self, member: LogConsumer, at: TopicPartition) -> None:
        log_id = self._log_ids[at.topic]
        async with self._db.begin() as tx:
            offset = await inbox.position(tx, self._reader.consumer, at, log_id)
            waiting = await gaps(tx, self._reader.consumer, at)
        await self._mend(at, waiting)
        try:
            if offset is not None:
                await member.place(at, offset)
        except OffsetLost:
            # a log made anew says so at once; the watch would ask only some seconds later
            if await self._log.identity(at.topic) != log_id:
                raise
            async with self._db.begin() as tx:
                await inbox.move(tx, self._reader.consumer, at, 0, log_id)
            offset = None
        if offset is None:
            # Begin again: the inbox drops what was seen, versions prove what is missing.
            _REPLACED.labels(self._reader.consumer).inc()
            _log.error("the log lost its records; reading it from the beginning", topic=at.topic)
            await member.place(at, 0)
        self._watch.moved(at, offset or 0)

    async def _mend(self, at: TopicPartition, keys: Collection[str]) -> None:
        """Go on with keys whose missing version has come: who applied it may have died since."""
        if keys and self._learn:
            await self._learn()
        for key in keys:
            await replay(self._db, self._reader, at.topic, key)

    async def _at_once(self, member: LogConsumer, batches: Batches) -> bool:
        """Apply all partitions in one transaction where that is cheaper; tell whether it was done.

        Where one of them fails each is left to itself: only that one waits, or parks.
        """
        if len(batches) <= 1 or not self._reader.takes_many:
            return False
        try:
            if self._learn:
                await self._learn()
            done = await self._commit(batches)
        except Exception as error:  # noqa: BLE001  # each partition meets it again, and says so
            _log.info("partitions are applied one by one", reason=_reason(error))
            return False
        await self._mended(done)
        await self._passed(member, batches)
        return True

    async def _partition(
        self, member: LogConsumer, at: TopicPartition, records: Sequence[Stored]
    ) -> None:
        try:
            if self._learn:
                await self._learn()
            await self._apply(at, records)
        except Exception as error:
            if not is_transient(error):
                raise
            if isinstance(error, TooManyParked):
                self._stopped.add(at)
                _STOPPED.labels(self._reader.consumer).set(len(self._stopped))
            self._hold(member, at, error)
        else:
            await self._passed(member, {at: records})

    async def _passed(self, member: LogConsumer, batches: Batches) -> None:
        for at in batches:
            self._failures.pop(at, None)
            self._stopped.discard(at)
        _STOPPED.labels(self._reader.consumer).set(len(self._stopped))
        failpoint("consume.committed")
        await member.commit({at: records[-1].offset + 1 for at, records in batches.items()})

    async def _marked(self, marks: Sequence[Mark]) -> None:
        """Keep how far the rights have arrived, and stand behind marks where they are records."""
        try:
            if met := [mark for mark in marks if mark.topic in self._rights_from]:
                await rights.save(self._db, self._reader.consumer, met, self._rights_by_key)
            for mark in marks:
                await self._pass(TopicPartition(mark.topic, mark.partition), mark.next_offset)
        except Exception as error:
            if not is_transient(error):
                raise
            _log.warning("the watermark waits", reason=_reason(error))

    async def _pass(self, at: TopicPartition, offset: int) -> None:
        """Move over marks that are records, now and then: a restart reads what follows again."""
        if not self._watch.behind(at, offset):
            return
        self._watch.moved(at, offset)
        now = time.monotonic()
        if now - self._passed_at.setdefault(at, now) < _PASS_S:
            return
        self._passed_at[at] = now
        log_id = self._log_ids[at.topic]
        async with self._db.begin() as tx:
            if await inbox.fence(tx, self._reader.consumer, at, log_id) < offset:
                await inbox.move(tx, self._reader.consumer, at, offset, log_id)

    def _hold(self, member: LogConsumer, at: TopicPartition, error: Exception) -> None:
        """Let the partition wait; the others go on."""
        member.unplace(at)
        self._failures[at] = self._failures.get(at, 0) + 1
        self._not_before[at] = time.monotonic() + turns.backoff(self._failures[at])
        _RETRIES.labels(self._reader.consumer).inc()
        _log.warning(
            "partition waits", topic=at.topic, partition=at.partition, reason=_reason(error)
        )

    async def _apply(self, at: TopicPartition, records: Sequence[Stored]) -> None:
        """Apply in one transaction; where that cannot be, in halves, down to the record at fault."""
        try:
            await self._transaction(at, records)
        except Exception as error:
            if is_transient(error):
                raise
            if len(records) == 1:
                await self._try_again(at, records[0], error)
                return
            half = len(records) // 2
            await self._apply(at, records[:half])
            await self._apply(at, records[half:])

    async def _transaction(self, at: TopicPartition, records: Sequence[Stored]) -> None:
        await self._mended(await self._commit({at: records}))

    async def _commit(self, batches: Batches) -> inbox.Applied:
        async with self._db.begin() as tx:
            done = await inbox.apply(tx, self._reader, self._log_ids, batches)
            if len(done.outcomes) < sum(map(len, batches.values())):
                # a former owner came after us: it may have died before it went on with its keys
                for at in batches:
                    waiting = await gaps(tx, self._reader.consumer, at)
                    done.mended.update((at, key) for key in waiting)
        for at, offset in done.next_offsets.items():
            self._watch.moved(at, offset)
        self._count(done.outcomes)
        return done

    async def _mended(self, done: inbox.Applied) -> None:
        if done.mended:
            failpoint("consume.applied")
        for at, key in sorted(done.mended):
            await self._mend(at, [key])

    async def _try_again(self, at: TopicPartition, record: Stored, error: Exception) -> None:
        for attempt in range(1, _TRIES):
            await asyncio.sleep(turns.backoff(attempt))
            try:
                await self._transaction(at, [record])
            except Exception as again:
                if is_transient(again):
                    raise
                error = again
            else:
                return
        await self._park(at, record, error)

    async def _park(self, at: TopicPartition, record: Stored, error: Exception) -> None:
        """Park the record and move on. Raises TooManyParked."""
        log_id = self._log_ids[at.topic]
        async with self._db.begin() as tx:
            if await inbox.fence(tx, self._reader.consumer, at, log_id) > record.offset:
                return
            await self._guard(tx)
            # The type and our own words only: a driver's message repeats personal data.
            await parking.park(
                tx,
                self._reader.consumer,
                log_id,
                record,
                parking.Block("poison"),
                error=_reason(error),
            )
            await inbox.move(tx, self._reader.consumer, at, record.offset + 1, log_id)
        self._watch.moved(at, record.offset + 1)
        self._count([("unknown", "parked")], poisonous=1)
        _log.error("event parked", topic=at.topic, offset=record.offset, reason=_reason(error))

    async def _guard(self, tx: AsyncSession) -> None:
        _, blocked = await parking.counts(tx, self._reader.consumer)
        handled = sum(count for _, count, _ in self._minute)
        parked = sum(count for _, _, count in self._minute)
        if blocked >= _MAX_BLOCKED or parked >= max(_PARKED_FREE, handled * _PARKED_SHARE):
            raise TooManyParked(f"{blocked} keys are blocked, {parked} events parked in a minute")

    def _count(self, outcomes: Sequence[tuple[str, str]], poisonous: int = 0) -> None:
        now = time.monotonic()
        for kind, outcome in outcomes:
            known = kind if self._reader.knows(kind) else "unknown"
            _DONE.labels(self._reader.consumer, known, outcome).inc()
        self._minute.append((now, len(outcomes), poisonous))
        while self._minute[0][0] < now - 60:
            self._minute.popleft()


def _reason(error: BaseException) -> str:
    own = isinstance(error, LogError | Unreadable)
    return f"{type(error).__name__}: {error}" if own else type(error).__name__
