"""Keys that a partner publishes at an address of its own (`jwks_uri`).

Fetched without following redirects, from public addresses only, at most 64 kB in 3 s. Kept as long
as the answer allows, 5 minutes at most; an unknown key is asked for again, not more often than
every 5 s. An address that fails is left alone as long: a partner's outage is not ours.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import structlog
from aiohttp.resolver import ThreadedResolver
from svckit.addresses import fault_of
from svckit.guarded import GuardedResolver, refuse_literal
from yarl import URL

from gateway import jose, jwks

PORTS = frozenset({443, 8443})
_LIMIT = 64 * 1024
_TIMEOUT = aiohttp.ClientTimeout(total=3.0)
_KEEP_S = 300.0
_AGAIN_S = 5.0
_CACHE = 1000
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=(\d{1,6})(?:$|[\s,])")
_log = structlog.get_logger("remote-keys")


@dataclass
class _Known:
    keys: list[Any]
    asked_at: float
    good_until: float


class RemoteKeys:
    """A bounded cache of partners' key sets. `allow_private` is for the sandbox alone."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._known: dict[str, _Known] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def find(self, url: str, kid: str, algorithms: Sequence[str]) -> list[dict[str, Any]]:
        """Return the one usable key of that id in a list. Raises Refused."""
        known = self._known.get(url)
        if known is None or not self._is_fresh(known, kid):
            known = await self._asked(url, kid)
        found = [jwk for jwk in known.keys if isinstance(jwk, dict) and jwk.get("kid") == kid]
        try:
            return jwks.checked(found, algorithms)
        except jwks.KeyUnfit as error:
            raise jose.Refused(error.code) from error

    def _is_fresh(self, known: _Known, kid: str) -> bool:
        at = time.monotonic()
        has = any(isinstance(jwk, dict) and jwk.get("kid") == kid for jwk in known.keys)
        return at < known.asked_at + _AGAIN_S or (has and at < known.good_until)

    async def _asked(self, url: str, kid: str) -> _Known:
        if len(self._known) >= _CACHE:
            self._known.clear()
            self._locks.clear()
        async with self._locks.setdefault(url, asyncio.Lock()):
            known = self._known.get(url)
            if known is None or not self._is_fresh(known, kid):
                known = self._known[url] = await self._fetched(url)
            return known

    async def _fetched(self, url: str) -> _Known:
        try:
            keys, keep_s = await self._fetch(url)
        except (aiohttp.ClientError, OSError, ValueError, jwks.KeyUnfit) as error:
            _log.warning("a partner's keys cannot be fetched", error=type(error).__name__)
            keys, keep_s = [], _AGAIN_S
        at = time.monotonic()
        return _Known(keys, at, at + keep_s)

    async def _fetch(self, url: str) -> tuple[list[Any], float]:
        if fault_of(url, allow_private=self._allow_private, ports=PORTS):
            raise ValueError("address")
        if not self._allow_private:
            refuse_literal(URL(url))
        connector = aiohttp.TCPConnector(
            resolver=ThreadedResolver() if self._allow_private else GuardedResolver(),
            use_dns_cache=False,
        )
        async with (
            aiohttp.ClientSession(
                connector=connector, timeout=_TIMEOUT, trust_env=False, auto_decompress=False
            ) as http,
            http.get(url, allow_redirects=False, headers={"Accept": "application/json"}) as answer,
        ):
            if answer.status != 200:  # noqa: PLR2004  # OK
                raise ValueError("status")
            body = await answer.content.read(_LIMIT + 1)
            while len(body) <= _LIMIT and (more := await answer.content.read(_LIMIT + 1)):
                body += more
            kept = _MAX_AGE.search(answer.headers.get("cache-control", "").lower())
        return _keys_in(body), min(_KEEP_S, float(kept[1]) if kept else _KEEP_S)


def _keys_in(body: bytes) -> list[Any]:
    if len(body) > _LIMIT:
        raise ValueError("size")
    found = orjson.loads(body)
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list) or len(keys) > jwks.MAX_KEYS:
        raise ValueError("keys")
    return keys
