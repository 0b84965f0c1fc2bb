"""What waits for a commit, gathered: one statement and one commit for all that wait.

While one batch is on its way the next gathers, so the busier the door the fewer the commits. Where
items come upon one another, commits keep a distance as well, in which more of them come: a commit of
many costs hardly more than one of a single item. What comes alone never waits.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Generic, TypeVar

import asyncpg
import structlog
from svckit.db import SESSION
from svckit.errors import Unavailable
from svckit.faults import DRIVER_AWAY

Item = TypeVar("Item")
Result = TypeVar("Result")
_CONNECT_S = 3.0
_COMMIT_S = 5.0
# beyond this many in wait the database does not keep up
_WAITING = 5_000
_A_BATCH = 500
# after items came upon one another it counts as busy for so many times the distance of its commits
_CROWDED = 10
# the last two: what this build cannot put into a row
_AWAY = (*DRIVER_AWAY, ValueError, LookupError)
_log = structlog.get_logger("batches")


class Batches(Generic[Item, Result]):
    """Gathers for `write`, which commits a batch and returns a result for each of its items.

    `away` makes the error of what could not be committed, or may not have been. `apart_s` is the
    time between the beginnings of two commits while it is busy.
    """

    def __init__(
        self,
        name: str,
        database_url: str,
        write: Callable[[asyncpg.Connection, list[Item]], Awaitable[Iterable[Result]]],
        away: Callable[[], Unavailable],
        *,
        apart_s: float = 0.0,
    ) -> None:
        self._name = name
        self._url = database_url
        self._write = write
        self._away = away
        self._apart_s = apart_s
        self._began_at = self._crowded_until = 0.0
        self._is_writing = False
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._news = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._connection: asyncpg.Connection | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._running = asyncio.create_task(self._run())
        try:
            yield
        finally:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
            await self._close()

    def add(self, item: Item) -> "asyncio.Future[Result]":
        """Return what will be the item's result when it is committed. Raises Unavailable."""
        is_running = self._running is not None and not self._running.done()
        if not is_running or len(self._waiting) >= _WAITING:
            raise self._away()
        loop = asyncio.get_running_loop()
        if self._waiting or self._is_writing:
            self._crowded_until = loop.time() + _CROWDED * self._apart_s
        done: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, done))
        self._news.set()
        return done

    async def _run(self) -> None:
        while True:
            self._is_writing = False
            await self._news.wait()
            await self._keep_apart()
            self._is_writing = True
            batch, self._waiting = self._waiting[:_A_BATCH], self._waiting[_A_BATCH:]
            if not self._waiting:
                self._news.clear()
            try:
                async with asyncio.timeout(_COMMIT_S):
                    results = await self._write(
                        await self._connected(), [item for item, _ in batch]
                    )
            except _AWAY as error:
                _log.warning("cannot be written", what=self._name, error=type(error).__name__)
                # whether it was committed is not known
                await self._close()
                for _, done in batch:
                    if not done.done():
                        done.set_exception(self._away())
            else:
                for (_, done), result in zip(batch, results, strict=True):
                    if not done.done():
                        done.set_result(result)

    async def _keep_apart(self) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time()
        if self._crowded_until > at and (left_s := self._began_at + self._apart_s - at) > 0:
            await asyncio.sleep(left_s)
        self._began_at = loop.time()

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            # what is not answered in time ends the connection, so nothing is left half said
            self._connection = await asyncpg.connect(
                self._url, timeout=_CONNECT_S, server_settings=SESSION
            )
        return self._connection

    async def _close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
