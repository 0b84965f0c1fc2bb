"""Enters answers into the ledger before they leave: one statement and one commit for all that wait.

While one commit is on its way the next ones gather, so the busier the door the fewer the commits.
Whoever cannot be entered is not answered.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from time import monotonic

import asyncpg
import structlog
from asyncpg.exceptions import InterfaceError, PostgresError
from prometheus_client import Counter, Histogram
from svckit.clock import now
from svckit.disclosure import Disclosed
from svckit.errors import Unavailable

from gateway.entries import NONE, Answer, Bases, Chain, Entry, Told, new_segment
from gateway.queries import ledger as queries
from gateway.queries.ledger import Known, Subject

_CONNECT_S = 3.0
_COMMIT_S = 5.0
# beyond this many answers in wait the database does not keep up
_WAITING = 5_000
_A_BATCH = 500
# how long reasons are remembered; an answer that they do not account for looks again
_REMEMBER_S = 1.0
_REMEMBERED = 50_000
# the last two: a class or purpose that this build does not know
_AWAY = (OSError, TimeoutError, PostgresError, InterfaceError, ValueError, LookupError)
_UNKNOWN = (0.0, Known())
_log = structlog.get_logger("ledger")
_entries = Counter("careloop_ledger_entries_total", "Entries committed", ["outcome"])
_seconds = Histogram(
    "careloop_ledger_seconds",
    "Time from an answer to the commit of its entries",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5),
)
_Waiting = tuple[Answer, "asyncio.Future[None]"]


class Writer:
    """The one writer of this process; `running` opens and ends it."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._waiting: list[_Waiting] = []
        self._news = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None
        self._connection: asyncpg.Connection | None = None
        self._chain: Chain | None = None
        self._known: dict[Subject, tuple[float, Known]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._writing = asyncio.create_task(self._write())
        try:
            yield
        finally:
            self._writing.cancel()
            with suppress(asyncio.CancelledError):
                await self._writing
            await self._close()

    async def record(self, answer: Answer) -> None:
        """Return when the answer's entries are committed. Raises Unavailable when they are not."""
        is_writing = self._writing is not None and not self._writing.done()
        if not is_writing or len(self._waiting) >= _WAITING:
            raise _not_recorded()
        started = monotonic()
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((answer, done))
        self._news.set()
        await done
        _seconds.observe(monotonic() - started)

    async def _write(self) -> None:
        while True:
            await self._news.wait()
            batch, self._waiting = self._waiting[:_A_BATCH], self._waiting[_A_BATCH:]
            if not self._waiting:
                self._news.clear()
            try:
                async with asyncio.timeout(_COMMIT_S):
                    await self._commit([answer for answer, _ in batch])
            except _AWAY as error:
                _log.warning("the ledger cannot be written", error=type(error).__name__)
                # whether it was committed is not known: this segment ends here
                self._chain = None
                await self._close()
                _settle(batch, _not_recorded())
            else:
                _settle(batch, None)

    async def _commit(self, answers: list[Answer]) -> None:
        at = now()
        connection = await self._connected()
        if self._chain is None:
            chain = Chain(new_segment())
            await queries.open_segment(connection, chain.segment, at)
            self._chain = chain
        told = await self._told(connection, answers)
        entries = self._chain.add(told, at)
        await queries.append(connection, entries)
        _count(entries)

    async def _told(self, connection: asyncpg.Connection, answers: list[Answer]) -> list[Told]:
        """Return every item and why it could be told; what is not remembered is looked up at once."""
        items = [
            (answer, item, _subject(answer, item)) for answer in answers for item in answer.items
        ]
        at = monotonic()
        asked = {
            subject
            for answer, item, subject in items
            if subject and not self._accounts_for(subject, answer.purpose, item.classes, at)
        }
        if asked:
            found = await queries.known(connection, list(asked), now())
            until = monotonic() + _REMEMBER_S
            self._known.update((subject, (until, known)) for subject, known in found.items())
        told = [
            Told(answer, item, self._bases(subject, answer.purpose, item.classes))
            for answer, item, subject in items
        ]
        if len(self._known) > _REMEMBERED:
            self._known.clear()
        return told

    def _accounts_for(self, subject: Subject, purpose: str, classes: int, at: float) -> bool:
        until, known = self._known.get(subject, _UNKNOWN)
        return until > at and known.bases(purpose, classes)[1]

    def _bases(self, subject: Subject | None, purpose: str, classes: int) -> Bases:
        return self._known[subject][1].bases(purpose, classes)[0] if subject else NONE

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            # what is not answered in time ends the segment, so nothing is left half said
            self._connection = await asyncpg.connect(self._url, timeout=_CONNECT_S)
        return self._connection

    async def _close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


def _subject(answer: Answer, item: Disclosed) -> Subject | None:
    """Return what there must be reasons for; a refusal, or what is about nobody, needs none."""
    if item.denied or not (item.custodian_id and item.person_id):
        return None
    return Subject(item.custodian_id, answer.organisation_id, item.person_id)


def _settle(batch: Iterable[_Waiting], error: Unavailable | None) -> None:
    for _, done in batch:
        if done.done():
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)


def _count(entries: list[Entry]) -> None:
    denied = sum(entry.denied for entry in entries)
    _entries.labels("denied").inc(denied)
    _entries.labels("disclosed").inc(len(entries) - denied)


def _not_recorded() -> Unavailable:
    return Unavailable(
        "The answer cannot be entered into the ledger just now; try again.",
        code="ledger-unavailable",
    )
