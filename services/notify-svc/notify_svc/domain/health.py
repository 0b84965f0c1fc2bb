"""How an endpoint is doing, by its last answers: its breaker, and the lane it is sent in.

    closed ──failures in a row──> open ──pause──> half-open: one probe
       ^                           ^                 │   │
       │                           ╰─────failure─────╯   │
       ╰──────────────────any sign of life───────────────╯

What waits for an endpoint whose breaker is open consumes no attempt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from notify_svc.domain.attempts import Answer

RECENT = 20  # the fewest of which the 95th percentile is not the greatest
SLOW_MS = 5000
_TOO_EARLY_OR_BUSY = frozenset({408, 425, 429})
_SERVER_ERROR = 500
PAUSE_LIMIT_S = 300.0


class Breaker(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True)
class Health:
    """`failures` in a row; `opened`: how often the breaker has since the last sign of life."""

    breaker: Breaker
    failures: int
    opened: int
    recent_ms: tuple[int, ...]

    @property
    def p95_ms(self) -> int | None:
        return p95_ms(self.recent_ms)

    @property
    def is_slow(self) -> bool:
        return (self.p95_ms or 0) > SLOW_MS


def p95_ms(recent_ms: Sequence[int]) -> int | None:
    """Return the 95th percentile by nearest rank; None of nothing."""
    if not recent_ms:
        return None
    return sorted(recent_ms)[ceil(0.95 * len(recent_ms)) - 1]


def is_sign_of_life(answer: Answer) -> bool:
    """Tell whether the receiver works: it may refuse this message (4xx), and does so by itself."""
    status = answer.status
    return status is not None and status < _SERVER_ERROR and status not in _TOO_EARLY_OR_BUSY


def after(health: Health, answer: Answer, took_s: float, *, opens_after: int) -> Health:
    """Return the health after one more answer.

    Only a breaker that is not open yet opens: what was under way meanwhile tells nothing new.
    """
    recent = (*health.recent_ms, round(took_s * 1000))[-RECENT:]
    if is_sign_of_life(answer):
        return Health(Breaker.CLOSED, 0, 0, recent)
    failures = health.failures + 1
    opens = health.breaker is Breaker.HALF_OPEN or (
        health.breaker is Breaker.CLOSED and failures >= opens_after
    )
    if opens:
        return Health(Breaker.OPEN, failures, health.opened + 1, recent)
    return Health(health.breaker, failures, health.opened, recent)


def pause_s(schedule: Sequence[float], opened: int) -> float:
    """Return how long the breaker stays open: it follows the schedule of attempts, to 5 minutes."""
    return min(schedule[min(opened, len(schedule) - 1)], PAUSE_LIMIT_S)
