"""The one door, plain ASGI: canonical request, token, scope, quota; then our routes or a service.

Nothing here knows a person or a row. What a caller may see is decided in the services.
"""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from opentelemetry.trace import SpanKind
from starlette.types import ASGIApp, Receive, Scope, Send
from svckit.db import Database
from svckit.errors import (
    BadRequest,
    CareloopError,
    Forbidden,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)
from svckit.telemetry import continue_from, span, traceparent

from gateway import access, body, domain, proxy, streams
from gateway.exchange import Exchange
from gateway.hosts import Hosts
from gateway.ledger.recording import REFUSED, Before, Held, Recorder
from gateway.limits import CONNECTIONS, Quotas, TokenLimit
from gateway.overrides import followed
from gateway.possession import Possession
from gateway.quick import Quick
from gateway.reading import SAMPLED
from gateway.revocations import Follower
from gateway.settings import Settings
from gateway.tokens import Session, Tokens, refused

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="careloop"'}
_SCHEMES = ("bearer", "dpop")
TOKEN_PATH = "/oauth/token"  # noqa: S105  # a path


_ALLOW = ", ".join(sorted(domain.METHODS))


class MethodNotAllowed(CareloopError):
    status = 405
    code = "method-not-allowed"


class Edge:
    """The outer application: `app` answers what is ours, the proxy the rest."""

    def __init__(
        self,
        app: ASGIApp,
        db: Database,
        settings: Settings,
        *,
        tokens: Tokens,
        possession: Possession,
        recorder: Recorder,
        stop: asyncio.Event,
    ) -> None:
        self._app = app
        self._db = db
        self._settings = settings
        self._tokens = tokens
        self._record = recorder
        self._stop = stop
        self._possession = possession
        self._revocations = Follower(db, tokens.revoked, settings.revocation_poll_s)
        self._proxy = proxy.Proxy(settings)
        self._samples = access.Sampler(settings.traces_per_second)
        self._lines = access.Lines(settings.log_level)
        self._hosts = Hosts(settings.allowed_hosts, settings.issuer)
        self._quotas = Quotas(
            settings.rate_limit,
            settings.rate_window_s,
            settings.requests_at_a_time,
            settings.processes,
        )
        self._token_limit = TokenLimit(
            settings.tokens_per_address, settings.tokens_per_client, settings.rate_window_s
        )
        self.quick = self._quick()
        CONNECTIONS.most = settings.connections_per_address

    def _quick(self) -> Quick:
        return Quick(
            tokens=self._tokens,
            hosts=self._hosts,
            quotas=self._quotas,
            to_services=self._proxy,
            recorder=self._record,
            samples=self._samples,
            lines=self._lines,
            go_on=self._go_on,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            async with self._opened():
                await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(Exchange(scope, receive, send))

    async def _answer(self, exchange: Exchange) -> None:
        parent = exchange.header(b"traceparent")
        sampled = exchange.scope.get(SAMPLED)
        try:
            if self._samples() if sampled is None else sampled:
                await self._in_span(exchange, parent)
            else:
                exchange.trace = access.unsampled(parent)
                await self._answered(exchange)
        finally:
            self._lines.of(exchange)

    async def _in_span(self, exchange: Exchange, parent: bytes) -> None:
        with (
            continue_from(parent.decode("latin-1")),
            span(f"{exchange.method} request", kind=SpanKind.SERVER) as current,
        ):
            exchange.trace = traceparent().encode("ascii")
            try:
                await self._answered(exchange)
            finally:
                # `/v1/cases/{id}` and its kin are one name: a path holds ids, a resource none
                current.update_name(f"{exchange.method} {exchange.resource}")
                current.set_attribute("http.route", exchange.resource)
                current.set_attribute("http.response.status_code", exchange.status)

    async def _answered(self, exchange: Exchange) -> None:
        await exchange.answered(self._handle(exchange))

    async def _handle(self, exchange: Exchange) -> None:
        route = exchange.route = self._route(exchange)
        if route is None:
            await self._ours(exchange, None)
            return
        session = exchange.session = await self._authenticated(exchange)
        before = exchange.entered_by(self._record)
        exchange.scope[streams.GO_ON] = partial(self._go_on, session)
        try:
            domain.check_scope(route, exchange.method, session.caller.scopes)
        except Forbidden as error:
            await before(error.status, REFUSED)
            raise
        self._enter(exchange, session)
        try:
            if route.service is None:
                await self._ours(exchange, before)
            else:
                await self._forwarded(exchange, session, route, before)
        finally:
            self._leave(exchange)

    def _route(self, exchange: Exchange) -> domain.Route | None:
        """Return where the request goes, None to what is open to all. Raises CareloopError."""
        raw_path: bytes = exchange.scope["raw_path"]
        if not domain.is_canonical(raw_path):
            raise BadRequest("The path is not in its canonical form.", code="path-not-canonical")
        if exchange.header(b"content-encoding"):
            raise UnsupportedMediaType("Send the body without a content coding.")
        path = raw_path.decode("ascii")
        self._hosts.check(exchange.header(b"host"), path)
        if resource := domain.opened(path):
            exchange.resource = resource
            return None
        route = domain.route_of(path)
        exchange.resource = f"/v1/{route.resource}"
        exchange.service = route.service or "gateway"
        if exchange.method not in domain.METHODS:
            raise MethodNotAllowed("This method is not offered.", headers={"Allow": _ALLOW})
        return route

    def _enter(self, exchange: Exchange, session: Session) -> None:
        """Count the request in; it must leave. Raises TooManyRequests."""
        caller = session.caller
        exchange.organisation_id = caller.organisation_id
        exchange.extra += self._quotas.enter(caller.organisation_id, caller.client_id)

    def _leave(self, exchange: Exchange) -> None:
        self._quotas.leave(exchange.organisation_id)

    async def _forwarded(
        self, exchange: Exchange, session: Session, route: domain.Route, before: Before
    ) -> None:
        assert route.service is not None
        upload = domain.is_upload(route, exchange.method)
        limit = self._settings.max_upload_bytes if upload else self._settings.max_body_bytes
        self._check_length(exchange, limit)
        await self._proxy.forward(
            route.service,
            exchange.scope,
            exchange.receive,
            exchange.send,
            identity=self._tokens.internal(session, route.service),
            trace=exchange.trace,
            limit=limit,
            before=before,
        )

    def _go_on(self, session: Session) -> None:
        """Raise what ends an answer that would go on."""
        if self._stop.is_set():
            raise Unavailable("The gateway is ending.", code="restarting")
        if not self._tokens.is_good(session):
            raise refused("The access token is no longer valid.")

    async def _authenticated(self, exchange: Exchange) -> Session:
        """Return the session of the token, with proof if it is bound. Raises Unauthenticated."""
        scheme, token = _presented(exchange)
        session = self._tokens.check(token)
        exchange.organisation_id = session.caller.organisation_id
        if session.binding or scheme != "bearer":
            exchange.extra += await self._possession.prove(session, exchange.scope, scheme, token)
        return session

    async def _ours(self, exchange: Exchange, before: Before | None) -> None:
        """Let our own routes answer, with the body read whole: it is small."""
        limit = self._settings.max_body_bytes
        self._check_length(exchange, limit)
        receive: Receive = exchange.receive
        if exchange.declared != 0:
            found = await body.read_whole(
                exchange.receive, limit=limit, timeout_s=self._settings.body_timeout_s
            )
            receive = body.replayed(found)
            if exchange.resource == TOKEN_PATH:
                self._token_limit.take(exchange.address, found)
        headers = [
            # what a bound token needed has been shown: inside there is one scheme
            (name, b"Bearer" + value[4:] if _is_dpop(name, value) else value)
            for name, value in exchange.scope["headers"]
            if name != b"traceparent"
        ]
        headers.append((b"traceparent", exchange.trace))
        held = Held(exchange.send, before)
        await self._app({**exchange.scope, "headers": headers}, receive, held.send)
        held.check()

    @staticmethod
    def _check_length(exchange: Exchange, limit: int) -> None:
        if (exchange.declared or 0) > limit:
            raise body.too_large(limit)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[None]:
        self._proxy.open()
        try:
            async with (
                self._record.writer.running(),
                self._possession.uses.running(),
                self._revocations.running(),
                followed(self._db, self._quotas),
            ):
                # what is there by now stays: nobody need look through it for garbage
                gc.freeze()
                yield
        finally:
            self._proxy.close()
            self._lines.flush()


def _presented(exchange: Exchange) -> tuple[str, str]:
    """Return scheme and token (RFC 6750 s2.1; the header only). Raises Unauthenticated."""
    scheme, _, token = exchange.header(b"authorization").decode("latin-1").partition(" ")
    scheme, token = scheme.lower(), token.strip()
    if scheme not in _SCHEMES or not token:
        raise Unauthenticated("An access token is needed.", headers=_CHALLENGE)
    return scheme, token


def _is_dpop(name: bytes, value: bytes) -> bool:
    return name == b"authorization" and value[:5].lower() == b"dpop "
