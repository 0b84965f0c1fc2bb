"""One signed request and what came of it. Standard Webhooks 1.0.0."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import aiohttp
from aiohttp.resolver import ThreadedResolver
from svckit.guarded import GuardedResolver, refuse_literal
from svckit.telemetry import outgoing, traceparent_of
from yarl import URL

from notify_svc.deliver.faults import FAULTS, error_of
from notify_svc.deliver.tls import Contexts
from notify_svc.deliver.tokens import TokenFault, Tokens, ask
from notify_svc.domain.attempts import SEALED, Answer
from notify_svc.domain.schedule import retry_after_s
from notify_svc.domain.sealing import CannotOpen, Sealer
from notify_svc.domain.signing import Signer
from notify_svc.domain.transport import Hidden, Shown, Token, hidden_of, shown_of
from notify_svc.queries.claims import Claim
from notify_svc.settings import Settings

_RESPONSE_LIMIT = 16 * 1024
_DRAIN_S = 1.0  # the status has decided; the rest is read only so that the connection can be reused
_UNAUTHORIZED = 401
_KEPT = 4096


@dataclass(frozen=True)
class Way:
    """How an endpoint is reached, opened."""

    secrets: Sequence[str]
    shown: Shown
    hidden: Hidden

    @cached_property
    def signer(self) -> Signer:
        return Signer(self.secrets)

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """What every request to it carries."""
        return {
            **self.hidden.headers,
            "content-type": "application/json",
            "user-agent": "Careloop-Webhooks/1",
        }


class Ways:
    """Ways by endpoint, each as long as what lies in the database is what it was opened from."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._kept: OrderedDict[str, tuple[object, Way]] = OrderedDict()

    def of(self, claim: Claim) -> Way:
        """Return how to reach the claim's endpoint. Raises CannotOpen."""
        stored = (claim.secrets, claim.sealed, claim.transport)
        before, way = self._kept.pop(claim.endpoint_id, (None, None))
        if way is None or before != stored:
            way = self._open(claim)
        self._kept[claim.endpoint_id] = stored, way
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return way

    def _open(self, claim: Claim) -> Way:
        row, sealed = claim.endpoint_id, claim.sealed
        return Way(
            secrets=[self._sealer.open(secret, row) for secret in claim.secrets],
            shown=shown_of(claim.transport),
            hidden=hidden_of(self._sealer.open(sealed, row) if sealed else None),
        )


class Poster:
    """Owns the connections to partners' receivers."""

    def __init__(self, settings: Settings) -> None:
        self._guard = None if settings.allow_private_targets else GuardedResolver()
        self._proxy = URL(settings.egress_proxy) if settings.egress_proxy else None
        self._ways = Ways(settings.sealer())
        self._contexts = Contexts(settings.ca_file)
        self._total_s = settings.total_timeout_s
        self._tokens = Tokens(self._ask_for_token)
        # through a proxy only its own name is resolved here, and that is the operator's
        guarded = self._guard if self._proxy is None else None
        connector = aiohttp.TCPConnector(
            resolver=guarded or ThreadedResolver(),
            use_dns_cache=False,
            limit=0,  # the scheduler bounds requests, for all and for each endpoint
            keepalive_timeout=15,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=settings.connect_timeout_s),
        )

    async def close(self) -> None:
        await self._session.close()

    async def post(self, claim: Claim, now: datetime) -> Answer:
        """Send one attempt. Never raises for what a receiver or the network does."""
        attributes: dict[str, Any] = {
            "careloop.delivery": claim.delivery_id,
            "careloop.event": claim.message_id,
        }
        current = outgoing("webhook deliver", claim.traceparent, **attributes)
        try:
            answer = await self._answer(claim, now, traceparent_of(current))
            if answer.status is not None:
                current.set_attribute("http.response.status_code", answer.status)
            current.set_attribute("careloop.outcome", answer.error or "answered")
            return answer
        finally:
            current.end()

    async def _answer(self, claim: Claim, now: datetime, parent: str) -> Answer:
        until = asyncio.get_running_loop().time() + self._total_s
        try:
            way = self._ways.of(claim)
        except CannotOpen:
            return Answer(error=SEALED)
        headers = headers_of(claim, way, int(now.timestamp()), parent)
        try:
            return await self._send(claim, way, headers, now, until)
        except TokenFault as fault:
            return Answer(error=fault.error)
        except FAULTS as error:
            return Answer(error=error_of(error))

    async def _send(
        self, claim: Claim, way: Way, headers: Mapping[str, str], now: datetime, until: float
    ) -> Answer:
        """Send; a token that is refused is replaced once."""
        token, secret = way.shown.oauth, way.hidden.client_secret
        if token is None or secret is None:
            return await self._request(claim, way, headers, now, until)
        answer, bearer = Answer(_UNAUTHORIZED), ""
        for _ in range(2):
            if answer.status == _UNAUTHORIZED:
                async with asyncio.timeout_at(until):
                    bearer = await self._tokens.get(claim.endpoint_id, token, secret, bearer)
                signed = {**headers, "authorization": f"Bearer {bearer}"}
                answer = await self._request(claim, way, signed, now, until)
        return answer

    async def _request(
        self, claim: Claim, way: Way, headers: Mapping[str, str], now: datetime, until: float
    ) -> Answer:
        url = URL(claim.url)
        async with asyncio.timeout_at(until):
            response = await self._session.post(
                url, data=claim.body, headers=headers, **await self._how(url, way)
            )
        # the answer has come in time; what hangs from here on costs the connection alone
        async with response:
            body = await _beginning(response)
            asked = retry_after_s(response.headers.get("Retry-After"), now.astimezone(UTC))
            redirected = 300 <= response.status < 400  # noqa: PLR2004  # RFC 9110 s15.4
            return Answer(response.status, "redirect" if redirected else None, asked, body)

    async def _how(self, url: URL, way: Way | None) -> dict[str, Any]:
        """Return how to connect, once the address may be connected to. Raises AddressDenied."""
        if self._guard:
            refuse_literal(url)
            if self._proxy:
                await self._guard.resolve(url.host or "", url.port or 0)
        context = self._contexts.plain()
        if way and way.shown.certificate and way.hidden.private_key:
            chain, key = way.shown.certificate.chain, way.hidden.private_key
            context = self._contexts.with_certificate(chain, key)
        return {"ssl": context, "proxy": self._proxy, "allow_redirects": False}

    async def _ask_for_token(self, token: Token, secret: str) -> bytes:
        """Ask within half of the time, so that the fault is told from the receiver's own."""
        url = URL(token.token_url)
        try:
            async with asyncio.timeout(self._total_s / 2):
                how = await self._how(url, None)
                return await ask(self._session, url, token, secret, how)
        except FAULTS as error:
            raise TokenFault(error_of(error)) from error


def headers_of(claim: Claim, way: Way, timestamp: int, parent: str) -> Mapping[str, str]:
    """Return the headers of an attempt: the id is the event's, on every attempt the same."""
    found = {
        **way.headers,
        "webhook-id": claim.message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": way.signer.header(claim.message_id, timestamp, claim.body),
    }
    return {**found, "traceparent": parent} if parent else found


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """Read at most the limit; a body that is larger or late costs the connection, not the result."""
    if response.content.is_eof():
        # all of it is there, as it nearly always is: nothing to wait for
        return response.content.read_nowait(_RESPONSE_LIMIT)
    read = bytearray()
    try:
        async with asyncio.timeout(_DRAIN_S):
            while len(read) < _RESPONSE_LIMIT:
                chunk = await response.content.read(_RESPONSE_LIMIT - len(read))
                if not chunk:
                    return bytes(read)
                read += chunk
    except (TimeoutError, aiohttp.ClientError):
        pass
    response.close()
    return bytes(read)
