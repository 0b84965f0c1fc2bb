"""How fresh the rights are that this service decides by, and what it does when they are not.

The owner of rights marks the event log every second; the consumer keeps, beside its offsets, up to
which instant everything has arrived. Older than `STALE_AFTER_S`, whoever must be decided about by
those rights is refused. What is an organisation's own needs no rights and is served.
"""

import asyncio
import time
from collections.abc import Collection, Iterable, Sequence
from contextvars import ContextVar
from typing import Protocol

from prometheus_client import Gauge
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from svckit.db import Database
from svckit.errors import Unavailable
from svckit.eventlog import Mark
from svckit.parking import KEYLESS

STALE_AFTER_S = 5.0
# what SQL says that was compiled to refuse; `problems` knows it by this
REFUSAL = "rights-stale"
# looked at again when the last answer is this close to its end, and not more often than that
_AHEAD_S, _EVERY_S = 3.0, 0.2
# how long a process may go on by rules that it read
_RULES_S = 0.25
FRESH, STALE = "fresh", "stale"
_AGE = Gauge("careloop_rights_age_seconds", "Age of the rights decided by", ["consumer"])

_stale: ContextVar[bool] = ContextVar("rights_stale", default=False)

# An event that waits for an operator has not arrived. Where topics protect by key, what it may say
# concerns its key alone, which is closed by the statement itself; one without a key, everybody.
# Never backwards: another member may be ahead. What a crash takes away is told again within a
# second, so no commit waits for the disk.
_SAVE = text(
    """
    INSERT INTO watermark (consumer, topic, partition, partitions, at)
    SELECT :consumer, topic, partition, partitions, at
    FROM unnest(CAST(:topics AS text[]), CAST(:numbers AS int[]), CAST(:counts AS int[]),
                CAST(:instants AS timestamptz[])) AS met (topic, partition, partitions, at),
         set_config('synchronous_commit', 'off', true)
    WHERE NOT EXISTS (SELECT FROM blocked_key b
                      WHERE b.consumer = :consumer AND b.topic = met.topic
                        AND (b.topic <> ALL(CAST(:by_key AS text[]))
                             OR starts_with(b.key, :keyless)))
    ORDER BY topic, partition
    ON CONFLICT (consumer, topic, partition) DO UPDATE
    SET at = greatest(watermark.at, excluded.at), partitions = excluded.partitions
    """
)
_LOOK = text(
    """
    SELECT extract(epoch FROM clock_timestamp() - min(at)) AS age
    FROM (SELECT min(at) AS at, count(*) >= max(partitions) AS whole
          FROM watermark WHERE consumer = :consumer AND topic = ANY(CAST(:topics AS text[]))
          GROUP BY topic) AS topics
    HAVING count(*) = :many AND bool_and(whole)
    """
)


class RightsStale(Unavailable):
    """Rights may have been withdrawn that this service has not heard of."""

    code = REFUSAL

    def __init__(self) -> None:
        super().__init__("What you may see cannot be decided just now; try again.")


def is_stale() -> bool:
    """Tell whether what runs now must not decide by rights: `Rights.look` said so before."""
    return _stale.get()


def demand() -> None:
    """Raise RightsStale where a decision by rights cannot be taken."""
    if is_stale():
        raise RightsStale


async def save(
    db: Database, consumer: str, marks: Iterable[Mark], by_key: Collection[str] = ()
) -> None:
    """Keep how far everything has arrived. What was applied before is committed already.

    `by_key` are topics whose events protect no more than what their key names.
    """
    met = list(marks)
    given = {
        "consumer": consumer,
        "topics": [mark.topic for mark in met],
        "numbers": [mark.partition for mark in met],
        "counts": [mark.partitions for mark in met],
        "instants": [mark.at for mark in met],
        "by_key": list(by_key),
        "keyless": KEYLESS,
    }
    async with db.begin() as tx:
        await tx.execute(_SAVE, given)


class Rules(Protocol):
    """What turns rights into decisions, where it can change while a process runs."""

    async def read(self, session: AsyncSession) -> None:
        """Learn from the database what is in force."""
        ...

    def tell(self) -> str | None:
        """Let this task decide by what was read; return the code of why it cannot."""
        ...

    def version(self) -> str:
        """Return the version that this task decides by."""
        ...


class Rights:
    """One process's view of how old the rights in its database are, and by which rules they count."""

    def __init__(
        self, db: Database, consumer: str, topics: Sequence[str], rules: Rules | None = None
    ) -> None:
        self._db, self._consumer, self._topics, self._rules = db, consumer, list(topics), rules
        self._turn, self._reading = asyncio.Lock(), asyncio.Lock()
        self._fresh_until = self._looked_at = self._read_at = float("-inf")

    async def look(self) -> bool:
        """Tell whether rights can be decided by, and let `is_stale` say it in this task.

        Asks the database every second or two while they are fresh, and some times a second for the
        rules. Raises what the database raises.
        """
        return await self.state() == FRESH

    async def state(self) -> str:
        """Look, and return FRESH, STALE or the code of why the rules cannot be used."""
        found = await self.learn() or (STALE if self._topics and not await self._fresh() else FRESH)
        _stale.set(found != FRESH)
        return found

    async def learn(self) -> str | None:
        """Let this task decide by the rules in force; return the code of why it cannot."""
        if self._rules is None:
            return None
        if time.monotonic() - self._read_at >= _RULES_S:
            async with self._reading:
                if time.monotonic() - self._read_at >= _RULES_S:
                    began = time.monotonic()
                    async with self._db.read() as session:
                        await self._rules.read(session)
                    self._read_at = began
        return self._rules.tell()

    def version(self) -> str:
        """Return the version of the rules that this task decides by; empty where there are none."""
        return self._rules.version() if self._rules else ""

    async def _fresh(self) -> bool:
        if time.monotonic() > self._fresh_until - _AHEAD_S:
            async with self._turn:
                now = time.monotonic()
                if now > self._fresh_until - _AHEAD_S and now - self._looked_at >= _EVERY_S:
                    self._fresh_until = now - await self.age() + STALE_AFTER_S
                    self._looked_at = now
        return time.monotonic() < self._fresh_until

    async def age(self) -> float:
        """Return for how many seconds nothing is known of the rights; infinite if never any."""
        if not self._topics:
            return 0.0
        given = {"consumer": self._consumer, "topics": self._topics, "many": len(self._topics)}
        async with self._db.read() as session:
            found = await session.scalar(_LOOK, given)
        age = float("inf") if found is None else float(found)
        _AGE.labels(self._consumer).set(age)
        return age
