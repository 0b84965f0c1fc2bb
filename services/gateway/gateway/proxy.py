"""Sends an authorised request on to its service and streams both bodies; plain ASGI.

The bytes of path and query go on as they came: what was authorised is what is routed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

import structlog
from starlette.types import Receive, Scope, Send
from svckit import disclosure
from svckit.errors import CareloopError, Unavailable

from gateway import notices, streams
from gateway.body import Body, Pace
from gateway.domain import READING, SERVICES
from gateway.pool import Pool
from gateway.settings import Settings
from gateway.upstream import Broken, Connection

_log = structlog.get_logger("proxy")
# RFC 9110 s7.6.1, and what may not come from outside: another identity, method, route or encoding
_NOT_FORWARDED = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization",
     b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"host", b"expect",
     b"authorization", b"dpop", b"client-cert", b"client-cert-chain", b"cookie", b"forwarded",
     b"via", b"traceparent", b"tracestate", b"baggage", b"x-real-ip", b"x-original-url",
     b"x-rewrite-url", b"x-http-method-override", b"x-http-method", b"x-method-override",
     b"http2-settings"}
)  # fmt: skip
_FOREIGN_PREFIXES = (b"x-forwarded-", b"x-internal-", b"x-careloop-", b"careloop-")
_NOT_RETURNED = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te",
     b"trailer", b"transfer-encoding", b"upgrade", b"server", b"date", b"set-cookie"}
)  # fmt: skip
# what a service tells the gateway alone, such as whom an answer discloses: never sent on
_INTERNAL_PREFIX = b"careloop-"
# set in a request's scope by the protocol when its partner is gone: nobody takes the rest
GONE = "careloop.gone"

# awaited with the status and the internal headers of an answer before any byte of it is sent
Before = Callable[[int, Mapping[bytes, bytes]], Awaitable[None]]


class Asked(Protocol):
    """What a request asks for."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> bytes: ...
    @property
    def query(self) -> bytes: ...


class Sent(Protocol):
    """A request that is on its way: what was sent, and where."""

    @property
    def pool(self) -> Pool: ...
    @property
    def connection(self) -> Connection: ...
    @property
    def data(self) -> bytes: ...


class Line(NamedTuple):
    """A request line, taken apart."""

    method: str
    path: bytes
    query: bytes


class Proxy:
    """A bounded pool of connections to each service. Open and close it with the server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pools: dict[str, Pool] = {}

    def open(self) -> None:
        settings = self._settings
        urls = (
            settings.case_url,
            settings.referral_url,
            settings.document_url,
            settings.notify_url,
        )
        for service, url in zip(SERVICES, urls, strict=True):
            self._pools[service] = Pool(
                service,
                url,
                limit=settings.upstream_connections,
                connect_s=settings.connect_timeout_s,
                patience_s=settings.upstream_timeout_s,
            )

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    async def forward(
        self,
        service: str,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        identity: bytes,
        trace: bytes,
        limit: int,
        before: Before,
    ) -> None:
        """Answer with the service's own answer. Raises CareloopError before anything was sent."""
        pool = self._pools[service]
        lines, framing = forwarded(scope["headers"])
        asked = Line(scope["method"], scope["raw_path"], scope["query_string"])
        data = outgoing(asked, pool, identity, lines, trace)
        upload: _Upload | None = None
        if framing:
            body = Body(receive, limit, self._settings.body_timeout_s)
            upload = _Upload(body, chunked=framing is _CHUNKED)
            data += await upload.next()
        try:
            connection = await _reach(pool, data, scope["method"], upload)
            await self.relay(pool, connection, scope, send, before)
        finally:
            if upload is not None:
                await upload.end()

    def pool(self, service: str) -> Pool:
        return self._pools[service]

    async def resume(self, of: Sent, scope: Scope, send: Send, before: Before) -> None:
        """Answer with what comes to a read that was sent; as `forward` does."""
        connection = await _reach(of.pool, of.data, scope["method"], None, of.connection)
        await self.relay(of.pool, connection, scope, send, before)

    async def relay(
        self, pool: Pool, connection: Connection, scope: Scope, send: Send, before: Before
    ) -> None:
        """Answer with what the connection has and what is to come, and give it back."""
        try:
            kept, internal = parted(connection.headers)
            if internal:
                await before(connection.status, internal)
                kept += notices.of(internal.get(disclosure.HEADER), kept)
            start = {"type": "http.response.start", "status": connection.status, "headers": kept}
            if streams.is_stream(pool.service, kept):
                await send(start)
                await self._events(pool, connection, scope, send, before)
                return
            if not connection.complete:
                await send(start)
                await self._stream(pool, connection, scope, send)
                return
            chunk, _ = await connection.chunk()
        finally:
            pool.give_back(connection)
        # the service is done with it: a partner that is slow from here on holds nothing of ours
        await send(start)
        await send({"type": "http.response.body", "body": chunk, "more_body": False})

    async def _events(
        self, pool: Pool, connection: Connection, scope: Scope, send: Send, before: Before
    ) -> None:
        """Pass events on, each entered before it leaves; broken off in the middle as any answer."""
        try:
            silence_s = self._settings.body_timeout_s
            await streams.Stream(connection, send, before, silence_s=silence_s).run(scope, GONE)
        except (Broken, TimeoutError) as fault:
            _log.warning("stream broke off", upstream=pool.service, error=str(fault))

    async def _stream(self, pool: Pool, connection: Connection, scope: Scope, send: Send) -> None:
        """Pass the body on as it comes; one that breaks off in the middle breaks off here, too."""
        pace, more = Pace(self._settings.body_timeout_s), True
        try:
            while more and GONE not in scope:
                chunk, more = await connection.chunk()
                # a partner that does not take its answer must not keep a connection to the service
                async with pace.of(len(chunk)):
                    await send({"type": "http.response.body", "body": chunk, "more_body": more})
        except (Broken, TimeoutError) as fault:
            # returning without the last part makes the server close the connection
            _log.warning("answer broke off", upstream=pool.service, error=str(fault))


class _Upload:
    """A request's body on its way to the service; what is more than one part, beside the answer."""

    def __init__(self, body: Body, *, chunked: bool) -> None:
        self._body = body
        self._chunked = chunked
        self._task: asyncio.Task[None] | None = None

    @property
    def fault(self) -> CareloopError | None:
        return self._body.fault

    async def next(self) -> bytes:
        """Return the next part as the service gets it."""
        part = await self._body.next()
        if not self._chunked:
            return part
        framed = b"%x\r\n%b\r\n" % (len(part), part) if part else b""
        return framed if self._body.more else framed + b"0\r\n\r\n"

    def begin(self, connection: Connection) -> None:
        if self._body.more:
            self._task = asyncio.create_task(self._run(connection))

    async def end(self) -> None:
        """Stop: the answer was there before the body's end, or nobody wants it any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self, connection: Connection) -> None:
        try:
            while self._body.more:
                connection.be_patient()
                await connection.more(await self.next())
        except CareloopError:
            connection.fail("partner")
        except Broken:
            return


async def _reach(
    pool: Pool,
    data: bytes,
    method: str,
    upload: _Upload | None,
    asked: Connection | None = None,
) -> Connection:
    """Return a connection with the answer's head; a read on a stale connection is tried again."""
    again = upload is None and method in READING
    while True:
        try:
            return await _headed(pool, asked or await _ask(pool, data, method), upload)
        except Broken as fault:
            asked = None
            if upload is not None and upload.fault is not None:
                raise upload.fault from fault
            if again and fault.stale:
                again = False
                continue
            _log.warning("service away", upstream=pool.service, error=fault.reason)
            raise Unavailable(
                "The service is not available just now; try again.",
                code="upstream-unavailable",
                headers={"Retry-After": "1"},
            ) from fault


async def _ask(pool: Pool, data: bytes, method: str) -> Connection:
    connection = await pool.borrow()
    connection.ask(data, bodiless=method == "HEAD")
    return connection


async def _headed(pool: Pool, connection: Connection, upload: _Upload | None) -> Connection:
    """Return the connection, which was asked, when it has the answer's head. Raises Broken."""
    answered = False
    try:
        if upload is not None:
            upload.begin(connection)
        await connection.head()
        answered = True
    except Broken as fault:
        pool.broke(connection, fault)
        raise
    finally:
        if not answered:
            pool.give_back(connection)
    return connection


_LENGTH, _CHUNKED = b"content-length", b"transfer-encoding"
_HARMLESS = frozenset({b"close", b"keep-alive", b""})


def outgoing(asked: Asked, pool: Pool, identity: bytes, lines: bytes, trace: bytes) -> bytes:
    """Return a request's head for the service; `lines` are its fields, as `forwarded` has them."""
    path, query = pool.prefix + asked.path, asked.query
    target = b"%b?%b" % (path, query) if query else path
    head = b"%b %b HTTP/1.1\r\nhost: %b\r\nauthorization: %b\r\n%btraceparent: %b\r\n\r\n"
    return head % (asked.method.encode("ascii"), target, pool.host, identity, lines, trace)


def forwarded(fields: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """Return what goes on of a request's fields, as lines, and what frames its body, if any."""
    kept: list[tuple[bytes, bytes]] = []
    listed: set[bytes] = set()
    framing = b""
    for name, value in fields:
        if name in _NOT_FORWARDED:
            if name == b"connection":
                listed.update(token.strip().lower() for token in value.split(b","))
            elif name == _CHUNKED:
                framing = _CHUNKED
        elif name == _LENGTH:
            framing = framing or (_LENGTH if int(value) else b"")
            kept.append((name, b"%d" % int(value)))
        elif b"_" not in name and not name.startswith(_FOREIGN_PREFIXES):
            kept.append((name, value))
    if listed - _HARMLESS:
        # the length frames the body: `Connection: content-length` must not take it away
        listed.discard(_LENGTH)
        kept = [(name, value) for name, value in kept if name not in listed]
    if framing is _CHUNKED:
        kept.append((_CHUNKED, b"chunked"))
    return b"".join([b"%b: %b\r\n" % pair for pair in kept]), framing


def parted(
    given: Iterable[tuple[bytes, bytes]],
) -> tuple[list[tuple[bytes, bytes]], dict[bytes, bytes]]:
    """Return what the partner gets of an answer's headers, and what only the gateway does."""
    kept: list[tuple[bytes, bytes]] = []
    internal: dict[bytes, bytes] = {}
    listed: set[bytes] = set()
    for field in given:
        name, value = field
        if name.startswith(_INTERNAL_PREFIX):
            internal[name] = internal[name] + b", " + value if name in internal else value
        elif name not in _NOT_RETURNED:
            kept.append(field)
        elif name == b"connection":
            listed.update(token.strip().lower() for token in value.split(b","))
    if listed and listed - _HARMLESS:
        kept = [(name, value) for name, value in kept if name == _LENGTH or name not in listed]
    return kept, internal
