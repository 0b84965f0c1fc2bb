"""Access tokens towards endpoints: OAuth 2.0 client credentials (RFC 6749 s4.4, s2.3.1)."""

import asyncio
import hashlib
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from urllib.parse import quote_plus

import aiohttp
import orjson
from yarl import URL

from notify_svc.domain.transport import Token

_OK = 200
_LIMIT = 16 * 1024
_KEPT = 4096
_LIFETIME_S = 300.0  # where the answer does not say
_MARGIN_S = 30.0
_USABLE = re.compile(r"[!-~]{1,8192}")


class TokenFault(Exception):
    """No token was to be had; `error` says why, in the words of the attempts' log."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = f"token-{error}"


@dataclass
class _Kept:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    value: str = ""
    until: float = 0.0


class Tokens:
    """Tokens by endpoint and credential, each until shortly before it ends."""

    def __init__(self, ask: Callable[[Token, str], Awaitable[bytes]]) -> None:
        self._ask = ask
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    async def get(self, endpoint_id: str, token: Token, secret: str, refused: str = "") -> str:
        """Return a token other than the one that was refused. Raises TokenFault."""
        kept = self._place(endpoint_id, token, secret)
        async with kept.lock:
            if kept.until <= monotonic() or kept.value == refused:
                kept.value, lifetime_s = _read(await self._ask(token, secret))
                kept.until = monotonic() + max(lifetime_s - _MARGIN_S, lifetime_s / 2)
            return kept.value

    def _place(self, endpoint_id: str, token: Token, secret: str) -> _Kept:
        name = hashlib.sha256("\0".join((endpoint_id, repr(token), secret)).encode()).digest()
        found = self._kept.pop(name, None) or _Kept()
        self._kept[name] = found
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found


async def ask(
    session: aiohttp.ClientSession, url: URL, token: Token, secret: str, how: dict[str, Any]
) -> bytes:
    """Return the body of the token endpoint's answer. Raises TokenFault, and what requests raise."""
    form = {"grant_type": "client_credentials"}
    if token.scope:
        form["scope"] = token.scope
    basic = aiohttp.encode_basic_auth(quote_plus(token.client_id), quote_plus(secret))
    headers = {
        "accept": "application/json",
        "accept-encoding": "identity",
        "authorization": basic,
    }
    async with session.post(url, data=form, headers=headers, **how) as response:
        if response.status != _OK:
            response.close()
            raise TokenFault(f"status-{response.status}")
        return await _bounded(response)


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    while chunk := await response.content.read(_LIMIT):
        body += chunk
        if len(body) > _LIMIT:
            response.close()
            raise TokenFault("malformed")
    return body


def _read(body: bytes) -> tuple[str, float]:
    """Return the token and its lifetime in seconds."""
    try:
        found = orjson.loads(body)
        value, lifetime_s = found["access_token"], float(found.get("expires_in") or _LIFETIME_S)
        is_bearer = str(found["token_type"]).lower() == "bearer"
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TokenFault("malformed") from error
    if not is_bearer or not isinstance(value, str) or not _USABLE.fullmatch(value):
        raise TokenFault("malformed")
    return value, lifetime_s
