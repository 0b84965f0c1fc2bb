"""One signed request and what came of it. Standard Webhooks 1.0.0."""

import asyncio
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime

import aiohttp
from aiohttp.resolver import ThreadedResolver
from opentelemetry.trace import SpanKind
from svckit.guarded import AddressDenied, GuardedResolver, refuse_literal
from svckit.telemetry import continue_from, span, traceparent
from yarl import URL

from notify_svc.domain import signing
from notify_svc.domain.attempts import Answer
from notify_svc.domain.schedule import retry_after_s
from notify_svc.queries.claims import Claim
from notify_svc.settings import Settings

_RESPONSE_LIMIT = 16 * 1024
_DRAIN_S = 1.0  # the status has decided; the rest is read only so that the connection can be reused


class Poster:
    """Owns the connections to partners' receivers."""

    def __init__(self, settings: Settings) -> None:
        self._guarded = not settings.allow_private_targets
        connector = aiohttp.TCPConnector(
            resolver=GuardedResolver() if self._guarded else ThreadedResolver(),
            use_dns_cache=False,
            limit=0,  # the scheduler bounds requests, for all and for each endpoint
            keepalive_timeout=15,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(
                total=settings.total_timeout_s, connect=settings.connect_timeout_s
            ),
        )

    async def close(self) -> None:
        await self._session.close()

    async def post(self, claim: Claim, now: datetime) -> Answer:
        """Send one attempt. Never raises for what a receiver or the network does."""
        attributes = {"careloop.delivery": claim.delivery_id, "careloop.event": claim.message_id}
        with (
            continue_from(claim.traceparent),
            span("webhook deliver", kind=SpanKind.CLIENT, **attributes) as current,
        ):
            answer = await self._answer(claim, now)
            if answer.status is not None:
                current.set_attribute("http.response.status_code", answer.status)
            current.set_attribute("careloop.outcome", answer.error or "answered")
            return answer

    async def _answer(self, claim: Claim, now: datetime) -> Answer:
        try:
            url = URL(claim.url)
            if self._guarded:
                refuse_literal(url)
            return await self._request(url, claim, now)
        except TimeoutError:
            return Answer(error="timeout")
        except AddressDenied:
            return Answer(error="address-denied")
        except aiohttp.ClientConnectorDNSError as error:
            denied = isinstance(error.os_error, AddressDenied)
            return Answer(error="address-denied" if denied else "dns")
        except (aiohttp.ClientSSLError, ssl.SSLError):
            return Answer(error="tls")
        except (aiohttp.ClientError, OSError, ValueError):
            return Answer(error="connection")

    async def _request(self, url: URL, claim: Claim, now: datetime) -> Answer:
        headers = headers_of(claim, int(now.timestamp()), traceparent())
        async with self._session.post(
            url, data=claim.body, headers=headers, allow_redirects=False
        ) as response:
            body = await _beginning(response)
            asked = retry_after_s(response.headers.get("Retry-After"), now.astimezone(UTC))
            redirected = 300 <= response.status < 400  # noqa: PLR2004  # RFC 9110 s15.4
            return Answer(response.status, "redirect" if redirected else None, asked, body)


def headers_of(claim: Claim, timestamp: int, parent: str) -> Mapping[str, str]:
    """Return the headers of an attempt: the id is the event's, on every attempt the same."""
    found = {
        "content-type": "application/json",
        "user-agent": "Careloop-Webhooks/1",
        "webhook-id": claim.message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signing.header(claim.secrets, claim.message_id, timestamp, claim.body),
    }
    return {**found, "traceparent": parent} if parent else found


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """Read at most the limit; a body that is larger or late costs the connection, not the result."""
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
