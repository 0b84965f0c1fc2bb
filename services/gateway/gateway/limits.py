"""How much one partner may ask for, as draft-ietf-httpapi-ratelimit-headers tells them.

Every count is of this process. Processes that share the work share the quota (`processes`): each
holds its part, so that the whole holds without a question to anybody, and a partner whose requests
all go to one process gets that part only.
"""

import time
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qs

import orjson
from svckit.errors import TooManyRequests

ORGANISATION, CLIENT, CONCURRENT = "organisation", "client", "concurrent"
_MAX = 50_000
Fields = list[tuple[bytes, bytes]]


class _Window:
    """What one key has used, and until when that counts."""

    __slots__ = ("until", "used")

    def __init__(self, until: float) -> None:
        self.until = until
        self.used = 0


class RateLimit:
    """A fixed window for each key; no I/O."""

    def __init__(self, policy: str, quota: int, window_s: int) -> None:
        self._name = policy
        self._quota = quota
        self._window_s = window_s
        self.policy = self.policy_of(quota)
        self._used: dict[str, _Window] = {}

    def take(self, key: str, quota: int | None = None) -> str:
        """Count one request; return what is left as a RateLimit item. Raises TooManyRequests."""
        at = time.monotonic()
        most = self._quota if quota is None else quota
        window = self._used.get(key)
        if window is None or window.until <= at:
            if len(self._used) >= _MAX:
                self._forget(at)
            window = self._used[key] = _Window(at + self._window_s)
        resets_in = round(window.until - at) or 1
        if window.used >= most:
            raise exceeded(self._name, self.policy_of(most), resets_in)
        window.used += 1
        return f'"{self._name}";r={most - window.used};t={resets_in}'

    def policy_of(self, quota: int) -> str:
        return f'"{self._name}";q={quota};w={self._window_s}'

    def _forget(self, at: float) -> None:
        """Make room: windows that have ended, else whoever used least of theirs."""
        self._used = {key: window for key, window in self._used.items() if window.until > at}
        if len(self._used) >= _MAX:
            busiest = sorted(self._used.items(), key=lambda item: -item[1].used)
            self._used = dict(busiest[: _MAX // 2])


class Concurrency:
    """How many requests of one organisation are answered at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.policy = f'"{CONCURRENT}";q={most};qu="concurrent-requests"'
        self._now: dict[str, int] = {}

    def enter(self, key: str) -> None:
        """Count a request in; it must leave. Raises TooManyRequests."""
        found = self._now.get(key, 0)
        if found >= self._most:
            raise exceeded(CONCURRENT, self.policy, 1)
        self._now[key] = found + 1

    def leave(self, key: str) -> None:
        _leave(self._now, key)


class Quotas:
    """What a caller may ask for: its organisation's share, or its client's own where one is set."""

    def __init__(self, quota: int, window_s: int, at_a_time: int, processes: int) -> None:
        self._processes = processes
        self._organisation = RateLimit(ORGANISATION, max(1, quota // processes), window_s)
        self._client = RateLimit(CLIENT, 1, window_s)
        self._at_a_time = Concurrency(at_a_time)
        self._policies = f"{self._organisation.policy}, {self._at_a_time.policy}".encode()
        # requests a window by client, for all processes: see `overrides`
        self.own: Mapping[str, int] = {}

    def enter(self, organisation_id: str, client_id: str) -> Fields:
        """Count a request in and return its fields; it must leave. Raises TooManyRequests."""
        self._at_a_time.enter(organisation_id)
        try:
            policies, left = self._take(organisation_id, client_id)
        except TooManyRequests:
            self._at_a_time.leave(organisation_id)
            raise
        return [(b"ratelimit-policy", policies), (b"ratelimit", left.encode())]

    def _take(self, organisation_id: str, client_id: str) -> tuple[bytes, str]:
        own = self.own.get(client_id)
        if own is None:
            return self._policies, self._organisation.take(organisation_id)
        quota = max(1, own // self._processes)
        policies = f"{self._client.policy_of(quota)}, {self._at_a_time.policy}"
        return policies.encode(), self._client.take(client_id, quota)

    def leave(self, organisation_id: str) -> None:
        self._at_a_time.leave(organisation_id)


class Connections:
    """How many connections one address holds; the protocol asks, the edge sets the number."""

    def __init__(self) -> None:
        self.most = 0
        self._now: dict[str, int] = {}

    def enter(self, address: str) -> bool:
        """Count a connection in, True when it may stay; either way it must leave."""
        found = self._now[address] = self._now.get(address, 0) + 1
        return not self.most or found <= self.most

    def leave(self, address: str) -> None:
        _leave(self._now, address)


CONNECTIONS = Connections()


def exceeded(name: str, policy: str, resets_in: int) -> TooManyRequests:
    return TooManyRequests(
        "More requests than the policy allows; come back later.",
        code="quota-exceeded",
        extra={"violated-policies": [name]},
        headers={
            "Retry-After": str(resets_in),
            "RateLimit-Policy": policy,
            "RateLimit": f'"{name}";r=0;t={resets_in}',
        },
    )


class TokenLimit:
    """Of the token endpoint: per address, and per address and the client that it claims to be.

    Not per client alone: whoever named another's client could use up that one's quota.
    """

    def __init__(self, per_address: int, per_client: int, window_s: int) -> None:
        self._address = RateLimit("token-address", per_address, window_s)
        self._client = RateLimit("token-client", per_client, window_s)

    def take(self, address: str, form: bytes) -> None:
        """Count one request. Raises TooManyRequests."""
        self._address.take(address)
        for client in claimed_clients(form):
            self._client.take(f"{address} {client}")


def claimed_clients(form: bytes) -> Iterable[str]:
    """Return the clients a token request names, unproven."""
    try:
        found = parse_qs(form.decode("ascii"), max_num_fields=32)
    except ValueError:
        return set()
    named = set(found.get("client_id", ()))
    for assertion in found.get("client_assertion", ()):
        try:
            claims = orjson.loads(urlsafe_b64decode(assertion.split(".")[1] + "=="))
            named.add(str(claims["sub"]))
        except (ValueError, LookupError, TypeError):
            continue
    return {name[:64] for name in named}


def _leave(now: dict[str, int], key: str) -> None:
    now[key] -= 1
    if not now[key]:
        del now[key]
