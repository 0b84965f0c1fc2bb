"""The embedded event log: a PostgreSQL database of its own.

Offsets are gapless per partition and become visible in order. Partitions are shared among the
members of a group by leases; NOTIFY only shortens the wait, polling is what finds records.
"""

import zlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
import orjson

from svckit.db import SESSION
from svckit.eventlog import PARTITIONS, LogError, Record, TopicPartition
from svckit.eventlog.postgres_consumer import CHANNEL, PostgresConsumer
from svckit.eventlog.postgres_schema import create, create_topic
from svckit.failpoints import failpoint
from svckit.faults import DRIVER_AWAY
from svckit.leases import Leases

# In the order in which appending takes the same rows, so that the two never wait in a circle.
_MARK = """
WITH mine AS (
  SELECT partition FROM log_partition WHERE topic_id = $1 ORDER BY partition FOR UPDATE)
UPDATE log_partition p SET mark = $2, marked_offset = next_offset
FROM mine WHERE p.topic_id = $1 AND p.partition = mine.partition
"""
# By the key from the oldest on: stored_at has no index and needs none.
_TRIM = """
WITH oldest AS (
  SELECT position, stored_at FROM log_record WHERE topic_id = $1 AND partition = $2
  ORDER BY position LIMIT $4)
DELETE FROM log_record r USING oldest
WHERE r.topic_id = $1 AND r.partition = $2 AND r.position = oldest.position
  AND oldest.stored_at < clock_timestamp() - $3::interval
"""
_TRIM_ROWS = 1000
_ENDS = """
SELECT t.name, p.partition, p.next_offset
FROM log_partition p JOIN log_topic t ON t.id = p.topic_id WHERE t.name = ANY($1)
"""


class Topic(NamedTuple):
    id: int
    partitions: int
    identity: str


class PostgresLog:
    def __init__(self, url: str, partitions: int = PARTITIONS) -> None:
        self._url = url
        self._partitions = partitions

    async def _connect(self) -> Any:
        return await asyncpg.connect(
            self._url, timeout=5, command_timeout=30, server_settings=SESSION
        )

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        with _told():
            connection = await self._connect()
            try:
                yield connection
            finally:
                await connection.close(timeout=2)

    async def ensure(self, topics: Iterable[str]) -> None:
        async with self._connection() as connection:
            await create(connection)
            for name in topics:
                await create_topic(connection, name, self._partitions)

    async def topics(self, names: Sequence[str]) -> dict[str, Topic]:
        """Return the topics by name. Raises LogError for one that does not exist."""
        async with self._connection() as connection:
            rows = await connection.fetch(
                "SELECT name, id, partitions, identity FROM log_topic WHERE name = ANY($1)",
                list(names),
            )
        found = {row[0]: Topic(row[1], row[2], str(row[3])) for row in rows}
        if missing := set(names) - set(found):
            raise LogError(f"no topic {', '.join(sorted(missing))}")
        return found

    async def identity(self, topic: str) -> str:
        return (await self.topics([topic]))[topic].identity

    async def ends(self, topics: Sequence[str]) -> dict[TopicPartition, int]:
        async with self._connection() as connection:
            rows = await connection.fetch(_ENDS, list(topics))
        return {TopicPartition(name, partition): end for name, partition, end in rows}

    async def producer(self) -> "PostgresProducer":
        with _told():
            connection = await self._connect()
        return PostgresProducer(self, connection)

    async def consumer(self, group: str, topics: Sequence[str]) -> PostgresConsumer:
        known = await self.topics(topics)
        numbers = {
            topic.id * 1000 + partition: (name, partition)
            for name, topic in known.items()
            for partition in range(topic.partitions)
        }
        with _told():
            leases = await Leases.join(self._url, f"group {group}", numbers)
            return await PostgresConsumer.open(leases, numbers)

    async def trim(self, topic: str, keep: timedelta) -> int:
        """Delete records older than that and return how many; offsets go on counting."""
        found = (await self.topics([topic]))[topic]
        total = 0
        async with self._connection() as connection:
            for partition in range(found.partitions):
                deleted = _TRIM_ROWS
                while deleted == _TRIM_ROWS:
                    done = await connection.execute(_TRIM, found.id, partition, keep, _TRIM_ROWS)
                    deleted = int(done.rsplit(" ", 1)[-1])
                    total += deleted
        return total

    async def close(self) -> None:
        """Nothing is shared: producers and consumers own their connections."""


class PostgresProducer:
    """Each `send` is one transaction: all of it is stored, or nothing."""

    def __init__(self, log: PostgresLog, connection: Any) -> None:
        self._log = log
        self._connection = connection
        self._topics: dict[str, Topic] = {}

    async def send(self, records: Sequence[Record]) -> list[bool]:
        unknown = {record.topic for record in records} - set(self._topics)
        if unknown:
            self._topics |= await self._log.topics(sorted(unknown))
        with _told():
            await self._connection.execute(
                "SELECT log_append($1, $2, $3, $4, $5)",
                [self._topics[record.topic].id for record in records],
                [self._partition(record) for record in records],
                [record.key.encode() for record in records],
                [orjson.dumps(dict(record.headers)).decode() for record in records],
                [record.value for record in records],
            )
            failpoint("log.sent")
            # After the commit, and once per batch: NOTIFY in the writing transaction would make
            # all committers wait for one database-wide lock.
            for topic in sorted({record.topic for record in records}):
                await self._connection.execute("SELECT pg_notify($1, $2)", CHANNEL, topic)
        return [True] * len(records)

    async def mark(self, topic: str, at: datetime) -> None:
        if topic not in self._topics:
            self._topics |= await self._log.topics([topic])
        with _told():
            await self._connection.execute(_MARK, self._topics[topic].id, at)

    def _partition(self, record: Record) -> int:
        return zlib.crc32(record.key.encode()) % self._topics[record.topic].partitions

    async def close(self) -> None:
        try:
            await self._connection.close(timeout=2)
        except DRIVER_AWAY:
            self._connection.terminate()


@contextmanager
def _told() -> Iterator[None]:
    """Turn what the driver raises into LogError."""
    try:
        yield
    except DRIVER_AWAY as error:
        raise LogError(f"the log database: {type(error).__name__}") from error
