"""The way of a plain read: asked of its service in the turn of the loop in which it came.

It is answered in the turn in which the service's answer came whole, or the ledger's commit of it: no
task, no timer. It asks what the long way asks (`edge`), in the same order, with the same functions.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from starlette.types import Receive, Scope, Send
from svckit import disclosure
from svckit.errors import CareloopError

from gateway import access, domain, notices, proxy, streams
from gateway.exchange import Exchange
from gateway.hosts import Hosts
from gateway.ledger.recording import Recorder
from gateway.limits import Quotas
from gateway.reading import Fields, Read
from gateway.tokens import Session, Tokens


class Quick:
    """Takes a read and answers it, or leaves it untouched."""

    def __init__(
        self,
        *,
        tokens: Tokens,
        hosts: Hosts,
        quotas: Quotas,
        to_services: proxy.Proxy,
        recorder: Recorder,
        samples: access.Sampler,
        lines: access.Lines,
        go_on: Callable[[Session], None],
    ) -> None:
        self._tokens = tokens
        self._hosts = hosts
        self._quotas = quotas
        self._proxy = to_services
        self._record = recorder
        self._samples = samples
        self._lines = lines
        self._go_on = go_on

    def __call__(self, read: Read) -> bool:
        """Tell whether the read is taken; else nothing has happened but the choice of its span."""
        read.sampled = self._samples()
        if read.sampled or read.wire.held_up:
            return False
        try:
            return self._asked(read)
        except Exception:  # noqa: BLE001  # whatever it is, the long way meets it again and answers
            return False

    def _asked(self, read: Read) -> bool:
        """Tell whether the service was asked. Raises CareloopError for what is to be refused."""
        session = self._tokens.known(read.head.token)
        if session is None or session.binding or not domain.is_canonical(read.path):
            return False
        path, caller = read.path.decode("ascii"), session.caller
        self._hosts.check(read.head.host, path)
        route = domain.route_of(path)
        domain.check_scope(route, read.method, caller.scopes)
        if route.service is None:
            return False
        pool = self._proxy.pool(route.service)
        read.trace = access.unsampled(read.head.parent)
        identity = self._tokens.identity(session, route.service)
        read.data = proxy.outgoing(read, pool, identity, read.head.lines, read.trace)
        connection = pool.take()
        if connection is None:
            return False
        try:
            read.extra = self._quotas.enter(caller.organisation_id, caller.client_id)
        except CareloopError:
            pool.give_back(connection)
            raise
        read.take(session, route, pool, connection)
        connection.ask(read.data, bodiless=read.method == "HEAD", then=partial(self._back, read))
        return True

    def _back(self, read: Read) -> None:
        try:
            connection, service = read.connection, read.pool.service
            is_stream = streams.is_stream(service, connection.headers)
            if connection.complete and not read.wire.held_up and not is_stream:
                self._returned(read)
            else:
                # there is to wait for something: for more, another connection, or the partner
                read.wire.run(read, partial(self._rest, read))
        except Exception as error:  # noqa: BLE001  # called from below: nobody there answers
            read.wire.run(read, partial(self._failed, read, error))

    def _returned(self, read: Read) -> None:
        """Answer with what came from the service, when the ledger has what it discloses."""
        connection = read.connection
        read.status = connection.status
        kept, internal = proxy.parted(connection.headers)
        content = connection.body()
        read.pool.give_back(connection)
        entered = None
        if internal:
            entered = self._record.begin(read.answered(internal))
            kept += notices.of(internal.get(disclosure.HEADER), kept)
        if entered is None:
            self._pass_on(read, kept, content)
        else:
            entered.add_done_callback(partial(self._entered, read, kept, content))

    def _entered(
        self, read: Read, kept: Fields, content: bytes, entered: "asyncio.Future[None]"
    ) -> None:
        try:
            entered.result()
            self._pass_on(read, kept, content)
        except Exception as error:  # noqa: BLE001  # called by the loop, which answers nobody
            read.wire.run(read, partial(self._failed, read, error))

    def _pass_on(self, read: Read, kept: Fields, content: bytes) -> None:
        read.wire.answer(read, read.status, kept + read.extra, content)
        self._quotas.leave(read.organisation_id)
        self._lines.of(read)

    async def _rest(self, read: Read, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange.of(read, scope, receive, send)
        enter = exchange.entered_by(self._record)
        scope[streams.GO_ON] = partial(self._go_on, read.session)
        await self._end(exchange, self._proxy.resume(read, scope, exchange.send, enter))

    async def _failed(
        self, read: Read, error: Exception, scope: Scope, receive: Receive, send: Send
    ) -> None:
        exchange = Exchange.of(read, scope, receive, send)
        await self._end(exchange, _failing(error))

    async def _end(self, exchange: Exchange, answering: Awaitable[None]) -> None:
        try:
            await exchange.answered(answering)
        finally:
            self._quotas.leave(exchange.organisation_id)
            self._lines.of(exchange)


async def _failing(error: Exception) -> None:
    raise error
