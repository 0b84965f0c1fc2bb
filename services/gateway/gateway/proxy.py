"""Sends an authorised request on to its service and streams both bodies; plain ASGI over aiohttp.

The bytes of path and query go on as they came: what was authorised is what is routed.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

import aiohttp
import structlog
from multidict import CIMultiDict
from starlette.types import Message, Receive, Scope, Send
from svckit.errors import CareloopError, PayloadTooLarge, Unavailable
from svckit.telemetry import traceparent
from yarl import URL

from gateway.domain import READING, SERVICES
from gateway.settings import Settings

_log = structlog.get_logger("proxy")
# RFC 9110 s7.6.1, and what may not come from outside: another identity, method, route or encoding
_NOT_FORWARDED = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization",
     b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"host", b"expect",
     b"authorization", b"dpop", b"client-cert", b"client-cert-chain", b"cookie", b"forwarded", b"via", b"traceparent", b"tracestate", b"baggage",
     b"x-real-ip", b"x-original-url", b"x-rewrite-url", b"x-http-method-override",
     b"x-http-method", b"x-method-override", b"http2-settings"}
)  # fmt: skip
_FOREIGN_PREFIXES = (b"x-forwarded-", b"x-internal-", b"x-careloop-", b"careloop-")
_NOT_RETURNED = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te",
     b"trailer", b"transfer-encoding", b"upgrade", b"server", b"date", b"set-cookie"}
)  # fmt: skip
# what a service tells the gateway alone, such as whom an answer discloses: never sent on
_INTERNAL_PREFIX = b"careloop-"
_LIMIT_PER_SERVICE_FLOOR = 8

# awaited with the status and the internal headers of an answer before any byte of it is sent
Before = Callable[[int, Mapping[bytes, bytes]], Awaitable[None]]


class BodyTooSlow(CareloopError):
    status = 408
    code = "body-too-slow"


class _Body:
    """The request's body as it comes, counted and bounded in size and pace."""

    def __init__(
        self, receive: Receive, limit: int, timeout_s: float, taking_s: float = math.inf
    ) -> None:
        self._receive = receive
        self._limit = limit
        self._timeout_s = timeout_s
        self._taking_s = taking_s
        self._seen = 0
        self.fault: CareloopError | None = None
        # set by who sends the body on: expires when the other side stops taking it
        self.clock: asyncio.Timeout | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            if self.clock:
                patience = self._timeout_s + self._taking_s
                self.clock.reschedule(asyncio.get_running_loop().time() + patience)
            try:
                async with asyncio.timeout(self._timeout_s):
                    message = await self._receive()
            except TimeoutError:
                raise self._failed(BodyTooSlow("The body came too slowly.")) from None
            if message["type"] == "http.disconnect":
                raise self._failed(Unavailable("The client went away."))
            chunk = message.get("body", b"")
            self._seen += len(chunk)
            if self._seen > self._limit:
                raise self._failed(too_large(self._limit))
            more = message.get("more_body", False)
            if chunk:
                yield chunk

    def _failed(self, fault: CareloopError) -> CareloopError:
        self.fault = fault
        return fault


def too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {limit} bytes.")


class Proxy:
    """A bounded pool of connections to the services. Open and close it with the server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        urls = (
            settings.case_url,
            settings.referral_url,
            settings.document_url,
            settings.notify_url,
        )
        self._bases = dict(zip(SERVICES, (url.rstrip("/") for url in urls), strict=True))
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        limit = self._settings.upstream_connections
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=limit,
                # one stuck service leaves sockets for the others
                limit_per_host=max(_LIMIT_PER_SERVICE_FLOOR, limit // 2),
                keepalive_timeout=3.0,
            ),
            timeout=aiohttp.ClientTimeout(
                total=None,
                sock_connect=self._settings.connect_timeout_s,
                connect=self._settings.upstream_timeout_s,
                sock_read=self._settings.upstream_timeout_s,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            max_line_size=16_384,
            max_field_size=16_384,
        )

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    async def forward(
        self,
        service: str,
        identity: bytes,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        limit: int,
        before: Before,
    ) -> None:
        """Answer with the service's own answer. Raises CareloopError before anything was sent."""
        patience = (self._settings.body_timeout_s, self._settings.upstream_timeout_s)
        body = _Body(receive, limit, *patience)
        headers, has_body = _outgoing(scope, identity)
        target = self._bases[service] + scope["raw_path"].decode("ascii")
        if scope["query_string"]:
            target = f"{target}?{scope['query_string'].decode('ascii')}"

        def attempt() -> Awaitable[aiohttp.ClientResponse]:
            assert self._session is not None
            return self._session.request(
                scope["method"],
                URL(target, encoded=True),
                headers=headers,
                data=body.chunks() if has_body else None,
                allow_redirects=False,
            )

        answer = await self._reach(service, attempt, scope, body, has_body=has_body)
        try:
            await self._relay(answer, service, send, before)
        finally:
            answer.close()

    async def _reach(
        self,
        service: str,
        attempt: Callable[[], Awaitable[aiohttp.ClientResponse]],
        scope: Scope,
        body: _Body,
        *,
        has_body: bool,
    ) -> aiohttp.ClientResponse:
        """Return the head of the answer; a read whose connection broke is tried once more."""
        again = scope["method"] in READING and not has_body
        while True:
            try:
                async with asyncio.timeout(None) as body.clock:
                    return await attempt()
            except (aiohttp.ClientError, TimeoutError) as error:
                if body.fault is not None:
                    raise body.fault from error
                if again and isinstance(error, (aiohttp.ServerDisconnectedError, ConnectionError)):
                    again = False
                    continue
                _log.warning("service away", upstream=service, error=type(error).__name__)
                raise Unavailable(
                    "The service is not available just now; try again.",
                    code="upstream-unavailable",
                    headers={"Retry-After": "1"},
                ) from error

    async def _relay(
        self, answer: aiohttp.ClientResponse, service: str, send: Send, before: Before
    ) -> None:
        """Stream the answer; one that breaks off in the middle breaks off here, too."""
        kept, internal = _parted(answer.raw_headers)
        await before(answer.status, internal)
        await send({"type": "http.response.start", "status": answer.status, "headers": kept})
        more = True
        try:
            while more:
                chunk = await answer.content.readany()
                more = not answer.content.at_eof()
                # a partner that does not take its answer must not keep a connection to the service
                async with asyncio.timeout(self._settings.body_timeout_s):
                    await send({"type": "http.response.body", "body": chunk, "more_body": more})
        except (aiohttp.ClientError, TimeoutError) as error:
            _log.warning("answer broke off", upstream=service, error=type(error).__name__)
            # returning without the last part makes the server close the connection


def _outgoing(scope: Scope, identity: bytes) -> tuple[CIMultiDict[str], bool]:
    """Return the headers for the service, and whether a body follows."""
    given: list[tuple[bytes, bytes]] = scope["headers"]
    dropped = set(_NOT_FORWARDED)
    for name, value in given:
        if name == b"connection":
            dropped.update(token.strip().lower() for token in value.split(b","))
    # the length frames the body: `Connection: content-length` must not take it away
    dropped.discard(b"content-length")
    headers: CIMultiDict[str] = CIMultiDict()
    has_body = False
    for name, value in given:
        has_body = has_body or name == b"transfer-encoding"
        has_body = has_body or (name == b"content-length" and value != b"0")
        if name in dropped or b"_" in name or name.startswith(_FOREIGN_PREFIXES):
            continue
        headers.add(name.decode("latin-1"), value.decode("latin-1"))
    headers["Authorization"] = identity.decode("ascii")
    if parent := traceparent():
        headers["traceparent"] = parent
    return headers, has_body


def _parted(
    given: Iterable[tuple[bytes, bytes]],
) -> tuple[list[tuple[bytes, bytes]], dict[bytes, bytes]]:
    """Return what the partner gets of an answer's headers, and what only the gateway does."""
    kept: list[tuple[bytes, bytes]] = []
    internal: dict[bytes, bytes] = {}
    for raw, value in given:
        name = raw.lower()
        if name.startswith(_INTERNAL_PREFIX):
            internal[name] = internal[name] + b", " + value if name in internal else value
        elif name not in _NOT_RETURNED:
            kept.append((name, value))
    return kept, internal


async def read_whole(receive: Receive, *, limit: int, timeout_s: float) -> bytes:
    """Return a small body. Raises PayloadTooLarge, BodyTooSlow."""
    body = _Body(receive, limit, timeout_s)
    return b"".join([chunk async for chunk in body.chunks()])


async def drain(receive: Receive, *, limit: int, timeout_s: float) -> None:
    """Take in what the client still sends, within bounds, so that it gets to read our answer."""
    body = _Body(receive, limit, timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            async for _ in body.chunks():
                pass
    except (CareloopError, TimeoutError):
        return


def replayed(body: bytes) -> Receive:
    """Return a receive channel that yields the body once, then a disconnect."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        return {"type": "http.disconnect"}

    return receive
