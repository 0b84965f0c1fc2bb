"""A member of a Kafka consumer group whose positions are the caller's.

aiokafka revokes every partition at each rebalance, in a background task while the caller works:
revocation waits for the batch in flight, and every partition assigned starts paused.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.errors import (
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import ConsumerRecord
from aiokafka.structs import TopicPartition as Partition

from svckit.eventlog import Batches, LogError, Mark, OffsetLost, Stored, TopicPartition

_log = structlog.get_logger("eventlog")
# During an outage the client repeats itself ten times a second; we say it once.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
_REVOKE_S = 25
# the only header of a mark: an instant, and the number of partitions
MARK = "careloop_mark"


@contextmanager
def told() -> Iterator[None]:
    """Turn what the client raises into LogError.

    When it loses its broker the client also lets its callers be cancelled, whom nobody cancelled.
    """
    try:
        yield
    except (KafkaError, OSError) as error:
        raise LogError(f"kafka: {type(error).__name__}") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise LogError("kafka: the client gave up a request") from error


class KafkaConsumer(ConsumerRebalanceListener):
    def __init__(self, client: AIOKafkaConsumer) -> None:
        self._client = client
        self._placed: set[TopicPartition] = set()
        self._bounds: dict[TopicPartition, tuple[int, int]] = {}
        self._met: dict[TopicPartition, Mark] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    @classmethod
    async def open(
        cls, servers: str, group: str, topics: Sequence[str], instance: str | None
    ) -> "KafkaConsumer":
        client = AIOKafkaConsumer(
            bootstrap_servers=servers,
            group_id=group,
            group_instance_id=instance,
            enable_auto_commit=False,
            # Positions come from the consumer's own database: no guess is better than a wrong one.
            auto_offset_reset="none",
            isolation_level="read_committed",
            session_timeout_ms=10_000,
            heartbeat_interval_ms=2_000,
            rebalance_timeout_ms=30_000,
            request_timeout_ms=10_000,
            metadata_max_age_ms=30_000,
            retry_backoff_ms=250,
        )
        consumer = cls(client)
        client.subscribe(topics, listener=consumer)
        try:
            with told():
                await client.start()
        except BaseException:
            await consumer.close()
            raise
        return consumer

    async def on_partitions_revoked(self, revoked: Collection[Partition]) -> None:
        try:
            await asyncio.wait_for(self._idle.wait(), _REVOKE_S)
        except TimeoutError:
            _log.warning("a batch outlasts the rebalance; the offset fence decides")
        self._placed -= {TopicPartition(*partition) for partition in revoked}

    def on_partitions_assigned(self, assigned: Collection[Partition]) -> None:
        for partition in assigned:
            self._placed.discard(TopicPartition(*partition))
            # A position at all, so that the client neither asks the broker for one nor fetches.
            self._client.seek(partition, 0)
        self._client.pause(*assigned)
        self._bounds.clear()

    def unplaced(self) -> set[TopicPartition]:
        return self._assigned() - self._placed

    def _assigned(self) -> set[TopicPartition]:
        return {TopicPartition(*partition) for partition in self._client.assignment()}

    async def place(self, partition: TopicPartition, offset: int) -> None:
        at = Partition(*partition)
        first, end = self._bounds.pop(partition, (1, 0))
        if not first <= offset <= end:
            first, end = await self._ask(partition)
        if offset > end or 0 < offset < first:
            raise OffsetLost(f"{partition.topic}/{partition.partition} has no offset {offset}")
        if partition in self._assigned():
            self._client.seek(at, max(offset, first))
            self._client.resume(at)
            self._placed.add(partition)

    async def _ask(self, partition: TopicPartition) -> tuple[int, int]:
        """Ask for the bounds of all partitions not yet placed, and remember those of the others.

        One at a time, each question would wait behind a fetch of those placed before (0.5 s).
        """
        wanted = [Partition(*each) for each in self.unplaced() | {partition}]
        with told():
            first = await self._client.beginning_offsets(wanted)
            end = await self._client.end_offsets(wanted)
        self._bounds = {TopicPartition(*at): (first[at], end[at]) for at in wanted}
        return self._bounds.pop(partition)

    def unplace(self, partition: TopicPartition) -> None:
        self._placed.discard(partition)
        if partition in self._assigned():
            self._client.pause(Partition(*partition))

    @asynccontextmanager
    async def batches(self, *, limit: int, wait_s: float) -> AsyncIterator[Batches]:
        found = await self._poll(limit, wait_s)
        self._idle.clear()
        try:
            yield self._sorted(found)
        finally:
            self._idle.set()

    def _sorted(
        self, found: Mapping[Partition, Sequence[ConsumerRecord[bytes, bytes]]]
    ) -> dict[TopicPartition, list[Stored]]:
        """Take the marks out; a partition that gave nothing else gives nothing."""
        batches = {}
        for partition, records in found.items():
            at = TopicPartition(*partition)
            if at not in self._placed:
                continue
            stored = []
            for record in records:
                if mark := _mark(record):
                    self._met[at] = mark
                else:
                    stored.append(_stored(record))
            if stored:
                batches[at] = stored
        return batches

    async def marks(self) -> list[Mark]:
        met, self._met = self._met, {}
        return [mark for at, mark in met.items() if at in self._placed]

    async def _poll(
        self, limit: int, wait_s: float
    ) -> Mapping[Partition, Sequence[ConsumerRecord[bytes, bytes]]]:
        try:
            with told():
                return await self._client.getmany(timeout_ms=int(wait_s * 1000), max_records=limit)
        except LogError as error:
            if not isinstance(error.__cause__, NoOffsetForPartitionError | OffsetOutOfRangeError):
                raise
            for partition in self._assigned():
                self.unplace(partition)
            return {}

    async def ends(self) -> dict[TopicPartition, int]:
        assigned = [Partition(*partition) for partition in self._assigned()]
        if not assigned:
            return {}
        with told():
            found = await self._client.end_offsets(assigned)
        return {TopicPartition(*at): end for at, end in found.items()}

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        held = {Partition(*at): end for at, end in offsets.items() if at in self._placed}
        try:
            with told():
                async with asyncio.timeout(5):
                    await self._client.commit(held)
        except LogError as error:
            # Only lag tools read it; a rebalance in between is an ordinary reason.
            _log.info("offsets not reported to kafka", reason=str(error))

    async def close(self) -> None:
        self._placed.clear()
        self._idle.set()
        try:
            with told():
                async with asyncio.timeout(5):
                    await self._client.stop()
        except LogError as error:
            _log.info("left the group without a word", reason=str(error))
            await self._abandon()

    async def _abandon(self) -> None:
        """End what a `stop()` that failed half way left running."""
        for name in ("_coordinator", "_fetcher", "_client"):
            part: Any = getattr(self._client, name, None)
            if part is None:
                continue
            try:
                with told():
                    async with asyncio.timeout(2):
                        await part.close()
            except LogError as error:
                _log.info("a part of the client did not end", reason=type(error).__name__)


def _mark(record: ConsumerRecord[bytes, bytes]) -> Mark | None:
    if record.key is not None or len(record.headers) != 1 or record.headers[0][0] != MARK:
        return None
    at, _, partitions = record.headers[0][1].decode().partition(" ")
    here = (record.topic, record.partition, record.offset + 1)
    return Mark(*here, datetime.fromisoformat(at), int(partitions))


def _stored(record: ConsumerRecord[bytes, bytes]) -> Stored:
    return Stored(
        record.topic,
        record.partition,
        record.offset,
        record.key,
        dict(record.headers),
        record.value,
    )
