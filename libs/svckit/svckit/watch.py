"""Watches a consumer from beside it: lag, parked events, a log replaced, a reader that hangs."""

import time
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from prometheus_client import Gauge
from sqlalchemy.exc import DBAPIError

from svckit import inbox, parking
from svckit.db import Database
from svckit.eventlog import Consumer, EventLog, LogError, TopicPartition
from svckit.faults import PASSING, is_transient

_LAG = Gauge("careloop_consumer_lag", "Events not yet applied", ["consumer", "topic", "partition"])
_PARKED = Gauge("careloop_parked_messages", "Events that wait for an operator", ["consumer"])
_BLOCKED = Gauge("careloop_blocked_keys", "Keys that wait for an operator", ["consumer"])

_LOOK_S = 5.0
_IDENTITY_S = 30.0
_FORGET_S = 3600.0
# More than a log keeps (7 days) and an outage lasts: an event seen again must still be known.
_INBOX_DAYS = 14


class Stuck(Exception):
    """Records wait and none is read: the client hangs, so let the supervisor start a new process."""


class Watch:
    def __init__(self, db: Database, log: EventLog, consumer: str, stuck_after_s: float) -> None:
        self._db = db
        self._log = log
        self._consumer = consumer
        self._stuck_after_s = stuck_after_s
        self._next: dict[TopicPartition, int] = {}
        self._moved_at: dict[TopicPartition, float] = {}
        self._looked_at = self._identified_at = self._forgot_at = time.monotonic()

    def moved(self, at: TopicPartition, next_offset: int) -> None:
        """Note where a partition stands."""
        self._next[at] = next_offset
        self._moved_at[at] = time.monotonic()

    def behind(self, at: TopicPartition, offset: int) -> bool:
        """Tell whether the partition stands below the offset."""
        return self._next.get(at, 0) < offset

    async def look(
        self, member: Consumer, log_ids: Mapping[str, str], waiting: AbstractSet[TopicPartition]
    ) -> None:
        """Look every few seconds. Raises Stuck, or LogError when the log was replaced."""
        now = time.monotonic()
        if now - self._looked_at < min(_LOOK_S, self._stuck_after_s):
            return
        self._looked_at = now
        self._progress(await member.ends(), waiting, now)
        if now - self._identified_at >= _IDENTITY_S:
            self._identified_at = now
            await self._identify(log_ids)
        try:
            await self._database(now)
        except (DBAPIError, *PASSING) as error:
            if not is_transient(error):  # a database that is away shows in the partitions
                raise

    def _progress(
        self, ends: Mapping[TopicPartition, int], waiting: AbstractSet[TopicPartition], now: float
    ) -> None:
        for at, end in ends.items():
            lag = max(0, end - self._next.get(at, 0))
            _LAG.labels(self._consumer, at.topic, at.partition).set(lag)
            if lag == 0 or at in waiting or at not in self._next:
                self._moved_at[at] = now
            elif now - self._moved_at[at] > self._stuck_after_s:
                raise Stuck(f"{at.topic}/{at.partition}: {lag} events wait")
        for gone in set(self._next) - set(ends):
            del self._next[gone]
            self._moved_at.pop(gone, None)

    async def _identify(self, log_ids: Mapping[str, str]) -> None:
        for topic, known in log_ids.items():
            if await self._log.identity(topic) != known:
                raise LogError(f"{topic} was made anew")

    async def _database(self, now: float) -> None:
        async with self._db.begin() as tx:
            parked, blocked = await parking.counts(tx, self._consumer)
            if now - self._forgot_at >= _FORGET_S:
                self._forgot_at = now
                await inbox.forget(tx, _INBOX_DAYS)
        _PARKED.labels(self._consumer).set(parked)
        _BLOCKED.labels(self._consumer).set(blocked)
