"""Connections to one service: kept open, bounded, swept; a service that is away fails at once."""

import asyncio
import ssl
from collections import deque
from urllib.parse import urlsplit

from prometheus_client import Counter

from gateway.upstream import Broken, Connection

# uvicorn ends an idle connection after 5 s: we let go first
_IDLE_S = 3.0
_SWEEP_S = 0.1
# after a refused connection nobody tries again for this long
_AWAY_S = 0.2
# so many requests may wait for a connection, for each that there may be
_QUEUE = 8
_FAILURES = Counter(
    "careloop_gateway_upstream_failures_total",
    "Connections to a service that ended before an answer did",
    ["service", "reason"],
)


class Pool:
    """Lends connections to one service. Made inside the event loop; close it."""

    def __init__(
        self, service: str, url: str, *, limit: int, connect_s: float, patience_s: float
    ) -> None:
        parts = urlsplit(url)
        self.service = service
        self.host = parts.netloc.encode("ascii")
        self.prefix = parts.path.rstrip("/").encode("ascii")
        secure = parts.scheme == "https"
        self._address = (parts.hostname or "", parts.port or (443 if secure else 80))
        self._tls = ssl.create_default_context() if secure else None
        self._limit = limit
        self._connect_s = connect_s
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()
        self._open: set[Connection] = set()
        self._connecting = 0
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._away_until = 0.0
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)

    async def borrow(self) -> Connection:
        """Return a connection that is the caller's until given back. Raises Broken."""
        while True:
            if found := self.take():
                return found
            if len(self._open) + self._connecting < self._limit:
                return await self._connect()
            if found := await self._wait():
                return found

    def take(self) -> Connection | None:
        """Return an idle connection, likewise until given back; None when there is none."""
        while self._idle:
            connection = self._idle.pop()
            if connection in self._open:
                return connection
        return None

    def give_back(self, connection: Connection) -> None:
        """Take a connection back; one whose answer did not end well is closed."""
        if not connection.reusable or connection not in self._open:
            self._drop(connection, "given-up")
        else:
            self._rest(connection)

    def _rest(self, connection: Connection) -> None:
        connection.rest()
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._idle.append(connection)

    def broke(self, connection: Connection, fault: Broken) -> None:
        """Count a fault. One stale connection means that the service went: none idle is kept."""
        _FAILURES.labels(self.service, fault.reason).inc()
        self._drop(connection, fault.reason)
        if fault.stale:
            for idle in self._idle:
                self._drop(idle, "closed")
            self._idle.clear()

    def close(self) -> None:
        self._sweeper.cancel()
        for connection in list(self._open):
            self._drop(connection, "shutdown")

    async def _connect(self) -> Connection:
        if self._loop.time() < self._away_until:
            raise Broken("away")
        self._connecting += 1
        host, port = self._address
        try:
            async with asyncio.timeout(self._connect_s):
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self._lost, self._patience_s), host, port, ssl=self._tls
                )
                self._open.add(connection)
                return connection
        except (OSError, TimeoutError) as error:
            self._away_until = self._loop.time() + _AWAY_S
            _FAILURES.labels(self.service, "connect").inc()
            raise Broken("connect") from error
        finally:
            self._connecting -= 1
            self._let_next()

    async def _wait(self) -> Connection | None:
        """Return a connection that became free, or None when one more may be made."""
        if len(self._waiting) >= self._limit * _QUEUE:
            raise Broken("queue")
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiting.append(waiter)
        taken = False
        try:
            async with asyncio.timeout(self._patience_s):
                found = await waiter
                taken = True
                return found
        except TimeoutError:
            raise Broken("queue") from None
        finally:
            if not taken and waiter.done() and not waiter.cancelled():
                # too late just when it was handed over: the next one gets it
                if found := waiter.result():
                    self._rest(found)
                else:
                    self._let_next()

    def _let_next(self) -> None:
        """Wake one who waits: there is room for a connection."""
        while self._waiting and len(self._open) + self._connecting < self._limit:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._let_next()

    def _drop(self, connection: Connection, reason: str) -> None:
        self._open.discard(connection)
        connection.fail(reason)
        self._let_next()

    def _sweep(self) -> None:
        """End what is overdue or has rested long enough."""
        at = self._loop.time()
        for connection in [c for c in self._open if c.deadline < at]:
            connection.fail("silent")
        kept = [c for c in self._idle if c in self._open and at - c.idle_since < _IDLE_S]
        for connection in set(self._idle).difference(kept):
            self._drop(connection, "rested")
        self._idle = kept
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)
