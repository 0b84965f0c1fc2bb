"""The life of a delivery, and what one answer does to it.

    pending ──claim──> sending ──2xx──> delivered
       ^                  │ ├──> exhausted   the schedule is spent
       └──wait / lease────┘ └──> held        the endpoint was disabled meanwhile
    pending | held ──no longer visible, superseded, endpoint deleted──> cancelled
    pending ──endpoint disabled──> held ──enabled──> pending
    pending | sending | held ──message too old──> expired
    delivered | exhausted | cancelled ──redeliver, recover──> pending

A claim writes the attempt with outcome `unknown` before anything is sent: after a crash it still
reads `unknown`, and the delivery is claimed again once the lease has passed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from svckit.errors import Conflict

from notify_svc.domain.schedule import wait_s

# attempts in flight per endpoint: at first, below which it is slow, and at most
WINDOW, WINDOW_LIMIT = 4, 16
GONE = 410
BUSY = (429, 503)


class Status(StrEnum):
    PENDING = "pending"
    SENDING = "sending"
    DELIVERED = "delivered"
    EXHAUSTED = "exhausted"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    HELD = "held"


class Outcome(StrEnum):
    UNKNOWN = "unknown"
    DELIVERED = "delivered"
    FAILED = "failed"
    DEFERRED = "deferred"


class DeliveryInProgress(Conflict):
    code = "delivery-in-progress"


class EndpointDisabled(Conflict):
    code = "endpoint-disabled"


class MessageExpired(Conflict):
    code = "message-expired"


class TooManyEndpoints(Conflict):
    code = "too-many-endpoints"


OPEN = frozenset({Status.PENDING, Status.SENDING})
ENDED = frozenset({Status.DELIVERED, Status.EXHAUSTED, Status.EXPIRED, Status.CANCELLED})
# why a delivery has ended, or waits
NO_LONGER_VISIBLE, SUPERSEDED, TOO_OLD = "no-longer-visible", "superseded", "expired"
IN_ORDER, IN_TURN = "waits-for-predecessor", "waits-for-recovery"
# an event of the case could not be applied: what it says may forbid to send this
EVENT_WAITS = "case-undecided"
# how an endpoint wants what has the same order key: in order, or as it comes
FIFO, UNORDERED = "fifo", "none"
# no fault of the endpoint's: our way out was closed, or our key is not the one that sealed
EGRESS, SEALED = "egress-proxy", "secret-unavailable"
OURS = frozenset({EGRESS, SEALED})
_OURS_WAIT_S = 10.0


@dataclass(frozen=True)
class Answer:
    """What came of one post: an HTTP status, or the `error` that kept one from coming."""

    status: int | None = None
    error: str | None = None
    retry_after_s: float | None = None
    # the beginning of it
    body: bytes = b""

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004  # RFC 9110

    @property
    def is_busy(self) -> bool:
        """The receiver asked for time (429, 503 with Retry-After): no attempt is consumed."""
        return self.status in BUSY and self.retry_after_s is not None

    @property
    def is_ours(self) -> bool:
        """The fault is not the endpoint's: it is charged with nothing."""
        return self.error in OURS


@dataclass(frozen=True)
class Standing:
    """Where a delivery and its endpoint stand when an answer arrives."""

    step: int
    enabled: bool
    expired: bool
    window: int


@dataclass(frozen=True)
class Verdict:
    """What an answer does: the delivery's next state, its wait, and the endpoint's window."""

    outcome: Outcome
    status: Status
    step: int
    wait_s: float = 0.0
    reason: str | None = None
    window: int = WINDOW
    disable: str | None = None


def judge(answer: Answer, at: Standing, schedule: Sequence[float], chance: float) -> Verdict:
    """Decide what an answer does to a delivery. Only 2xx is success; a redirect is a failure."""
    window = _window(answer, at.window, chance)
    if answer.is_success:
        return Verdict(Outcome.DELIVERED, Status.DELIVERED, at.step, window=window)
    reason = answer.error or f"status-{answer.status}"
    deferred = answer.is_busy or answer.is_ours
    outcome = Outcome.DEFERRED if deferred else Outcome.FAILED
    step = at.step if deferred else at.step + 1
    if answer.status == GONE or not at.enabled:
        disable = "gone" if answer.status == GONE else None
        return Verdict(outcome, Status.HELD, step, 0, reason, window, disable)
    if at.expired:
        return Verdict(outcome, Status.EXPIRED, step, 0, TOO_OLD, window)
    wait = _deferred_s(answer, chance) if deferred else wait_s(schedule, step, chance)
    if wait is None:
        return Verdict(outcome, Status.EXHAUSTED, step, 0, reason, window)
    return Verdict(outcome, Status.PENDING, step, wait, reason, window)


def _window(answer: Answer, window: int, chance: float) -> int:
    """Additive increase, multiplicative decrease: above the first window by one in a round of it."""
    if answer.error == "timeout":
        return max(window // 2, 1)
    grows = answer.is_success and (window < WINDOW or chance * window < 1)
    return min(window + 1, WINDOW_LIMIT) if grows else window


def _deferred_s(answer: Answer, chance: float) -> float | None:
    return answer.retry_after_s if answer.is_busy else _OURS_WAIT_S * (0.5 + chance / 2)


def require_redeliverable(status: Status, *, enabled: bool, expired: bool) -> None:
    """Raise DeliveryInProgress, EndpointDisabled or MessageExpired."""
    if status in OPEN:
        raise DeliveryInProgress("The delivery is still under way.")
    if not enabled:
        raise EndpointDisabled("The endpoint is disabled; enable it and held deliveries go out.")
    if expired:
        raise MessageExpired("The message is past its retention and cannot be sent again.")
