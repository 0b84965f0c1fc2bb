"""One request at the edge: what it says, and how it is answered or refused."""

from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter

import structlog
from starlette.types import Message, Receive, Scope, Send
from svckit.errors import CareloopError
from svckit.problems import render
from svckit.telemetry import continue_from, trace_id

from gateway.body import drain
from gateway.domain import Route
from gateway.ledger.recording import Recorder
from gateway.proxy import Before
from gateway.reading import Answered, Read
from gateway.tokens import Session

_log = structlog.get_logger("edge")
# what a refused client may still send while it learns so: a large upload's worth, not an endless one
_DRAIN_BYTES = 256 * 1024 * 1024
_DRAIN_S = 10.0
_SMALL = 64 * 1024
_SMALL_S = 0.5


class Exchange:
    """One request and what became of it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        self.method: str = scope["method"]
        self.started = perf_counter()
        self.route: Route | None = None
        self.session: Session | None = None
        self.status = 0
        self.resource = "unmatched"
        self.service = "gateway"
        self.organisation_id = ""
        # the traceparent of what is asked of others on this request's behalf
        self.trace = b""
        self.extra: list[tuple[bytes, bytes]] = []
        # the declared length of the body, 0 for none, None when it comes in chunks
        length = self._headers.get(b"content-length")
        self.declared: int | None = int(length) if length else 0
        if b"transfer-encoding" in self._headers:
            self.declared = None
        # whether more of the body is to come: to wait for it when it is not would wait for ever
        self._more_body = self.declared != 0

    @classmethod
    def of(cls, read: Read, scope: Scope, receive: Receive, send: Send) -> "Exchange":
        """Return what a read has become that cannot be answered without a task."""
        found = cls(scope, receive, send)
        found.started, found.trace, found.extra = read.started, read.trace, read.extra
        found.route, found.session = read.route, read.session
        found.resource, found.service = read.resource, read.service
        found.organisation_id = read.organisation_id
        return found

    async def receive(self) -> Message:
        message = await self._receive()
        self._more_body = message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self.extra]
        await self._send(message)

    def header(self, name: bytes) -> bytes:
        return self._headers.get(name, b"")

    @contextmanager
    def traced(self) -> Iterator[None]:
        """Let what the block does find the request's trace, also where there is no span."""
        if trace_id():
            yield
            return
        with continue_from(self.trace.decode("ascii")):
            yield

    @property
    def address(self) -> str:
        """Who holds the connection: a partner, or the proxy in front of us."""
        client = self.scope.get("client")
        return str(client[0]) if client else ""

    def entered_by(self, record: Recorder) -> Before:
        """Return what enters the answer into the ledger, before any of it is sent."""

        async def before(status: int, internal: Mapping[bytes, bytes]) -> None:
            session, route = self.session, self.route
            if internal and session and route:
                trace_id = self.trace[3:35].decode("ascii")
                found = Answered(session, route, self.method, status, internal, trace_id)
                await record(found)

        return before

    async def answered(self, answering: Awaitable[None]) -> None:
        """Await what answers; where it fails, answer with the problem."""
        try:
            await answering
        except CareloopError as error:
            await self.refuse(error)
        except Exception as error:  # noqa: BLE001  # a partner gets a problem, whatever happened
            trace_id = self.trace[3:35].decode("ascii")
            _log.error("unexpected", error=type(error).__name__, trace_id=trace_id, exc_info=error)
            await self.refuse(CareloopError("Something went wrong; quote the trace id."))

    async def refuse(self, error: CareloopError) -> None:
        """Answer with the problem; a client in the middle of a large body gets to read it."""
        if self.status:
            return
        small = self.declared is not None and self.declared <= _SMALL
        if small and self._more_body:
            await drain(self.receive, limit=_SMALL, timeout_s=_SMALL_S)
        with self.traced():
            response = render(error)
        if self._more_body:
            response.headers["Connection"] = "close"
        start = {
            "type": "http.response.start",
            "status": response.status_code,
            "headers": response.raw_headers,
        }
        content = b"" if self.method == "HEAD" else bytes(response.body)
        await self.send(start)
        await self.send({"type": "http.response.body", "body": content, "more_body": True})
        if self._more_body and not small:
            await drain(self.receive, limit=_DRAIN_BYTES, timeout_s=_DRAIN_S)
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})
