"""Requests per organisation and window, as draft-ietf-httpapi-ratelimit-headers tells them."""

import time

from svckit.errors import TooManyRequests

_POLICY = "organisation"
_MAX = 50_000


class RateLimit:
    """A fixed window for each organisation, in this process; no I/O."""

    def __init__(self, quota: int, window_s: int) -> None:
        self._quota = quota
        self._window_s = window_s
        self._policy = f'"{_POLICY}";q={quota};w={window_s}'.encode()
        self._used: dict[str, list[float]] = {}

    def take(self, organisation_id: str) -> list[tuple[bytes, bytes]]:
        """Count one request; return the fields that tell what is left. Raises TooManyRequests."""
        at = time.monotonic()
        window = self._used.get(organisation_id)
        if window is None or window[0] <= at:
            if len(self._used) >= _MAX:
                self._used = {k: v for k, v in self._used.items() if v[0] > at}
            window = self._used[organisation_id] = [at + self._window_s, 0]
        resets_in = max(1, round(window[0] - at))
        if window[1] >= self._quota:
            raise TooManyRequests(
                "The organisation has used up its requests of this window.",
                code="quota-exceeded",
                extra={"violated-policies": [_POLICY]},
                headers={
                    "Retry-After": str(resets_in),
                    "RateLimit-Policy": self._policy.decode(),
                    "RateLimit": f'"{_POLICY}";r=0;t={resets_in}',
                },
            )
        window[1] += 1
        left = f'"{_POLICY}";r={self._quota - int(window[1])};t={resets_in}'
        return [(b"ratelimit-policy", self._policy), (b"ratelimit", left.encode())]
