"""The one door, plain ASGI: canonical request, token, scope, quota; then our routes or a service.

Nothing here knows a person or a row. What a caller may see is decided in the services.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import cast

from opentelemetry.trace import SpanKind
from starlette.types import ASGIApp, Receive, Scope, Send
from svckit.db import Database
from svckit.errors import (
    BadRequest,
    CareloopError,
    Forbidden,
    Unauthenticated,
    UnsupportedMediaType,
)
from svckit.telemetry import continue_from, span, traceparent

from gateway import access, body, domain, proxy
from gateway.cycle import Cycle
from gateway.exchange import Exchange
from gateway.hosts import Hosts
from gateway.ledger.recording import REFUSED, Before, Held, Recorder
from gateway.limits import CONNECTIONS, Quotas, TokenLimit
from gateway.overrides import followed
from gateway.possession import Possession
from gateway.revocations import Follower
from gateway.settings import Settings
from gateway.tokens import Session, Tokens

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="careloop"'}
_SCHEMES = ("bearer", "dpop")
# in a request's scope: whether it gets a span
_SAMPLED = "careloop.sampled"
TOKEN_PATH = "/oauth/token"  # noqa: S105  # a path


_ALLOW = ", ".join(sorted(domain.METHODS))


class MethodNotAllowed(CareloopError):
    status = 405
    code = "method-not-allowed"


@dataclass(frozen=True, slots=True)
class Answered:
    """A service's answer whose first byte has not left: whose, to what, and what it discloses."""

    session: Session
    route: domain.Route
    method: str
    status: int
    # the answer's `careloop-` headers in lower case, which no partner gets
    internal: Mapping[bytes, bytes]


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
    ) -> None:
        self._app = app
        self._db = db
        self._settings = settings
        self._tokens = tokens
        self._record = recorder
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
        CONNECTIONS.most = settings.connections_per_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            async with self._opened():
                await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(Exchange(scope, receive, send))

    def quick(self, cycle: Cycle) -> bool:
        """Ask the service at once, without a task, and answer when it has: most reads are so plain.

        False when anything about it is not, as what is refused: then nothing has happened yet but
        the choice of its span, and `__call__` begins with the same questions.
        """
        cycle.scope[_SAMPLED] = self._samples()
        if cycle.held_up or cycle.scope[_SAMPLED]:
            return False
        exchange = Exchange(cycle.scope, cast("Receive", cycle.receive), cycle.send)
        try:
            read = self._plain(exchange)
        except CareloopError:
            return False
        if read is None:
            return False
        exchange.trace = access.unsampled(exchange.header(b"traceparent"))
        read.send(exchange.trace, lambda: self._back(exchange, cycle, read))
        return True

    def _plain(self, exchange: Exchange) -> proxy.Read | None:
        """Return a read that can go on, counted in; None when it must wait. Raises CareloopError."""
        if exchange.method not in domain.READING or exchange.declared != 0:
            return None
        route = self._route(exchange)
        scheme, token = _presented(exchange)
        session = self._tokens.known(token)
        if not (route and route.service and session) or session.binding or scheme != "bearer":
            return None
        exchange.route, exchange.session = route, session
        domain.check_scope(route, exchange.method, session.caller.scopes)
        identity = self._tokens.internal(session, route.service)
        read = self._proxy.read(route.service, exchange.scope, identity)
        if read is not None:
            try:
                self._enter(exchange, session)
            except CareloopError:
                read.drop()
                raise
        return read

    def _back(self, exchange: Exchange, cycle: Cycle, read: proxy.Read) -> None:
        """Answer with what came from the service; by a task when that takes more than a write."""
        found = None if cycle.held_up else read.whole()
        if found is None:
            cycle.run(lambda *_: self._rest(exchange, read))
            return
        exchange.status, kept, content = found
        # first: the answer's end may begin the partner's next request
        self._leave(exchange)
        cycle.answer(exchange.status, kept + exchange.extra, content)
        self._tell(exchange)

    async def _rest(self, exchange: Exchange, read: proxy.Read) -> None:
        try:
            await read.finish(exchange.send, self._before(exchange))
        except CareloopError as error:
            await exchange.refuse(error)
        finally:
            self._leave(exchange)
            self._tell(exchange)

    async def _answer(self, exchange: Exchange) -> None:
        parent = exchange.header(b"traceparent")
        try:
            if exchange.scope.get(_SAMPLED):
                await self._in_span(exchange, parent)
            else:
                exchange.trace = access.unsampled(parent)
                await self._answered(exchange)
        finally:
            self._tell(exchange)

    def _tell(self, exchange: Exchange) -> None:
        took = perf_counter() - exchange.started
        found = (exchange.method, exchange.resource, exchange.service, exchange.status)
        access.SECONDS.observe(*found, took)
        self._lines.add(
            *found, organisation_id=exchange.organisation_id, took_s=took, trace=exchange.trace
        )

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
        try:
            await self._handle(exchange)
        except CareloopError as error:
            await exchange.refuse(error)

    async def _handle(self, exchange: Exchange) -> None:
        route = exchange.route = self._route(exchange)
        if route is None:
            await self._ours(exchange, None)
            return
        session = exchange.session = await self._authenticated(exchange)
        before = self._before(exchange)
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

    def _before(self, exchange: Exchange) -> Before:
        async def before(status: int, internal: Mapping[bytes, bytes]) -> None:
            session, route = exchange.session, exchange.route
            if internal and session and route:
                with exchange.traced():
                    await self._record(Answered(session, route, exchange.method, status, internal))

        return before

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
                self._revocations.running(),
                followed(self._db, self._quotas),
            ):
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
