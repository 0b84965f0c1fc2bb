"""A group member of the PostgreSQL log: leased partitions, positions in memory."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Any

import orjson

from svckit.eventlog import Batches, LogError, Mark, OffsetLost, Stored, TopicPartition
from svckit.faults import DRIVER_AWAY
from svckit.leases import Leases

CHANNEL = "careloop_log"
_IDLE_S = 0.25
_REFRESH_S = 1.0
_MARKS_S = 0.4
# at one a second, longer than any reader of theirs waits for them
_MARKS_AHEAD = 64

_READ = """
SELECT want.id, r.position, r.key, r.headers, r.value
FROM unnest($1::int[], $2::bigint[]) AS want(id, position), LATERAL (
  SELECT position, key, headers, value FROM log_record
  WHERE topic_id = want.id / 1000 AND partition = want.id % 1000 AND position >= want.position
  ORDER BY position LIMIT $3) AS r
"""
_BOUNDS = """
SELECT next_offset, coalesce((
  SELECT position FROM log_record r WHERE r.topic_id = p.topic_id AND r.partition = p.partition
  ORDER BY position LIMIT 1), next_offset) AS first
FROM log_partition p WHERE topic_id = $1 AND partition = $2
"""
_ENDS = """
SELECT p.topic_id * 1000 + p.partition AS id, next_offset FROM log_partition p
WHERE p.topic_id * 1000 + p.partition = ANY($1::int[])
"""
_MARKS = """
SELECT p.topic_id * 1000 + p.partition AS id, mark, marked_offset, partitions
FROM log_partition p JOIN log_topic t ON t.id = p.topic_id
WHERE p.topic_id * 1000 + p.partition = ANY($1::int[]) AND mark IS NOT NULL
"""


class PostgresConsumer:
    """Lease numbers are topic id * 1000 + partition; a lost connection ends the membership."""

    def __init__(self, leases: Leases, numbers: Mapping[int, tuple[str, int]]) -> None:
        self._leases = leases
        self._name = {number: TopicPartition(*found) for number, found in numbers.items()}
        self._number = {found: number for number, found in self._name.items()}
        self._topics = {found.topic for found in self._name.values()}
        self._position: dict[TopicPartition, int] = {}
        self._held: set[TopicPartition] = set()
        self._hint = asyncio.Event()
        self._refreshed_at = self._marked_at = 0.0
        # marks that lie ahead: the log keeps the newest only, a reader that lags needs those before
        self._ahead: dict[TopicPartition, deque[Mark]] = {}
        self._met: dict[TopicPartition, Mark] = {}

    @classmethod
    async def open(
        cls, leases: Leases, numbers: Mapping[int, tuple[str, int]]
    ) -> "PostgresConsumer":
        consumer = cls(leases, numbers)
        async with leases.connection() as connection:
            await connection.add_listener(CHANNEL, consumer._notified)
        await consumer._refresh()
        return consumer

    def _notified(self, _: Any, __: int, ___: str, topic: object) -> None:
        if topic in self._topics:
            self._hint.set()

    async def _refresh(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._refreshed_at < _REFRESH_S:
            return
        self._held = {self._name[number] for number in await self._leases.refresh()}
        self._position = {at: where for at, where in self._position.items() if at in self._held}
        self._refreshed_at = loop.time()

    def unplaced(self) -> set[TopicPartition]:
        return self._held - set(self._position)

    async def place(self, partition: TopicPartition, offset: int) -> None:
        topic_id, number = divmod(self._number[partition], 1000)
        async with self._guarded() as connection:
            row = await connection.fetchrow(_BOUNDS, topic_id, number)
        if row is None or offset > row["next_offset"] or 0 < offset < row["first"]:
            raise OffsetLost(f"{partition.topic}/{partition.partition} has no offset {offset}")
        if partition in self._held:
            self._position[partition] = max(offset, row["first"])

    def unplace(self, partition: TopicPartition) -> None:
        self._position.pop(partition, None)

    @asynccontextmanager
    async def _guarded(self) -> AsyncIterator[Any]:
        try:
            async with self._leases.connection() as connection:
                yield connection
        except DRIVER_AWAY as error:
            raise LogError(f"the log database: {type(error).__name__}") from error

    @asynccontextmanager
    async def batches(self, *, limit: int, wait_s: float) -> AsyncIterator[Batches]:
        found = await self._wait(limit, wait_s)
        for partition, records in found.items():
            self._position[partition] = records[-1].offset + 1
        yield found

    async def _wait(self, limit: int, wait_s: float) -> dict[TopicPartition, list[Stored]]:
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        known = self.unplaced()
        while True:
            self._hint.clear()
            try:
                await self._refresh()
            except DRIVER_AWAY as error:
                raise LogError(f"the log database: {type(error).__name__}") from error
            found = await self._read(limit)
            left = until - loop.time()
            if found or left <= 0 or self.unplaced() - known:
                return found
            try:
                await asyncio.wait_for(self._hint.wait(), min(left, _IDLE_S))
            except TimeoutError:
                continue

    async def _read(self, limit: int) -> dict[TopicPartition, list[Stored]]:
        if not self._position:
            return {}
        wanted = [(self._number[at], where) for at, where in self._position.items()]
        async with self._guarded() as connection:
            rows = await connection.fetch(
                _READ,
                [number for number, _ in wanted],
                [where for _, where in wanted],
                max(1, limit // len(wanted)),
            )
        return {
            self._name[number]: [_stored(self._name[number], row) for row in group]
            for number, group in groupby(rows, key=lambda row: row["id"])
        }

    async def marks(self) -> list[Mark]:
        loop = asyncio.get_running_loop()
        if loop.time() - self._marked_at < _MARKS_S or not self._position:
            return []
        self._marked_at = loop.time()
        async with self._guarded() as connection:
            rows = await connection.fetch(_MARKS, [self._number[at] for at in self._position])
        for row in rows:
            at = self._name[row["id"]]
            ahead = self._ahead.setdefault(at, deque(maxlen=_MARKS_AHEAD))
            mark = Mark(*at, row["marked_offset"], row["mark"], row["partitions"])
            if not ahead or ahead[-1] != mark:
                ahead.append(mark)
        return [mark for at in self._position for mark in self._reached(at)]

    def _reached(self, at: TopicPartition) -> list[Mark]:
        """Return the newest mark that lies behind us, unless it was returned before."""
        ahead = self._ahead.get(at, ())
        reached = [mark for mark in ahead if mark.next_offset <= self._position[at]]
        if not reached or self._met.get(at) == reached[-1]:
            return []
        self._met[at] = reached[-1]
        return reached[-1:]

    async def ends(self) -> dict[TopicPartition, int]:
        numbers = [self._number[at] for at in self._held]
        async with self._guarded() as connection:
            rows = await connection.fetch(_ENDS, numbers)
        return {self._name[row["id"]]: row["next_offset"] for row in rows}

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Keep nothing: the consumers' own tables say where they stand."""

    async def close(self) -> None:
        self._held, self._position = set(), {}
        await self._leases.close()


def _stored(partition: TopicPartition, row: Any) -> Stored:
    headers = orjson.loads(row["headers"])
    return Stored(
        partition.topic,
        partition.partition,
        row["position"],
        row["key"],
        {name: str(value).encode() for name, value in headers.items()},
        row["value"],
    )
