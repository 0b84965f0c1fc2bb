"""Enters answers into the ledger before they leave: one statement and one commit for all that wait.

Whoever cannot be entered is not answered.
"""

import asyncio
from contextlib import AbstractAsyncContextManager
from time import monotonic

import asyncpg
from prometheus_client import Counter, Histogram
from svckit.clock import now
from svckit.disclosure import Disclosed
from svckit.errors import Unavailable

from gateway.batches import Batches
from gateway.entries import NONE, Answer, Bases, Chain, Entry, Told, new_segment
from gateway.queries import ledger as queries
from gateway.queries.ledger import Known, Subject

# how long reasons are remembered; an answer that they do not account for looks again
_REMEMBER_S = 1.0
_REMEMBERED = 50_000
# between the commits of a busy door: at 200 reads/s one commit for four of them
_APART_S = 0.005
_UNKNOWN = (0.0, Known())
_entries = Counter("careloop_ledger_entries_total", "Entries committed", ["outcome"])
_seconds = Histogram(
    "careloop_ledger_seconds",
    "Time from an answer to the commit of its entries",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5),
)


class Writer:
    """The one writer of this process; `running` opens and ends it."""

    def __init__(self, database_url: str) -> None:
        self._batches = Batches(
            "ledger", database_url, self._commit, _not_recorded, apart_s=_APART_S
        )
        self._chain: Chain | None = None
        self._known: dict[Subject, tuple[float, Known]] = {}

    def running(self) -> AbstractAsyncContextManager[None]:
        return self._batches.running()

    def begin(self, answer: Answer) -> "asyncio.Future[None]":
        """Return what is done when the answer's entries are committed. Raises Unavailable."""
        started = monotonic()
        entered = self._batches.add(answer)
        entered.add_done_callback(lambda _: _seconds.observe(monotonic() - started))
        return entered

    async def record(self, answer: Answer) -> None:
        """Return when the answer's entries are committed. Raises Unavailable when they are not."""
        await self.begin(answer)

    async def _commit(self, connection: asyncpg.Connection, answers: list[Answer]) -> list[None]:
        at = now()
        # where it fails, whether it was committed is not known: then this segment ends here
        chain, self._chain = self._chain, None
        if chain is None:
            chain = Chain(new_segment())
            await queries.open_segment(connection, chain.segment, at)
        told = await self._told(connection, answers)
        entries = chain.add(told, at)
        await queries.append(connection, entries)
        self._chain = chain
        _count(entries)
        return [None] * len(answers)

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


def _subject(answer: Answer, item: Disclosed) -> Subject | None:
    """Return what there must be reasons for; a refusal, or what is about nobody, needs none."""
    if item.denied or not (item.custodian_id and item.person_id):
        return None
    return Subject(item.custodian_id, answer.organisation_id, item.person_id)


def _count(entries: list[Entry]) -> None:
    denied = sum(entry.denied for entry in entries)
    _entries.labels("denied").inc(denied)
    _entries.labels("disclosed").inc(len(entries) - denied)


def _not_recorded() -> Unavailable:
    return Unavailable(
        "The answer cannot be entered into the ledger just now; try again.",
        code="ledger-unavailable",
    )
