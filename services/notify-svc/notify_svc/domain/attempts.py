"""The life of a delivery, and what one answer does to it.

    pending ──claim──> sending ──2xx──> delivered
       ^                  │ ├──> exhausted   the schedule is spent
       └──wait / lease────┘ └──> held        the endpoint was disabled meanwhile
    pending | held ──no longer visible, endpoint deleted──> cancelled
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

WINDOW = 4  # attempts in flight per endpoint; halves on a timeout, grows by one on a success
GONE = 410
BUSY = (429, 503)


class Status(StrEnum):
    PENDING = "pending"
    SENDING = "sending"
    DELIVERED = "delivered"
    EXHAUSTED = "exhausted"
    CANCELLED = "cancelled"
    HELD = "held"
    EXPIRED = "expired"


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
# why what was too old has ended
TOO_OLD = "expired"
ENDED = frozenset({Status.DELIVERED, Status.EXHAUSTED, Status.CANCELLED, Status.EXPIRED})


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
    if answer.is_success:
        window = min(at.window + 1, WINDOW)
        return Verdict(Outcome.DELIVERED, Status.DELIVERED, at.step, window=window)
    slow = answer.error == "timeout"
    window = max(at.window // 2, 1) if slow else at.window
    reason = answer.error or f"status-{answer.status}"
    outcome, step = Outcome.FAILED, at.step + 1
    if answer.is_busy:
        outcome, step = Outcome.DEFERRED, at.step
    if answer.status == GONE or not at.enabled:
        disable = "gone" if answer.status == GONE else None
        return Verdict(outcome, Status.HELD, step, 0, reason, window, disable)
    wait = answer.retry_after_s if answer.is_busy else wait_s(schedule, step, chance)
    if at.expired:
        return Verdict(outcome, Status.EXPIRED, step, 0, TOO_OLD, window)
    if wait is None:
        return Verdict(outcome, Status.EXHAUSTED, step, 0, reason, window)
    return Verdict(outcome, Status.PENDING, step, wait, reason, window)


def require_redeliverable(status: Status, *, enabled: bool, expired: bool) -> None:
    """Raise DeliveryInProgress, EndpointDisabled or MessageExpired."""
    if status in OPEN:
        raise DeliveryInProgress("The delivery is still under way.")
    if not enabled:
        raise EndpointDisabled("The endpoint is disabled; enable it and held deliveries go out.")
    if expired:
        raise MessageExpired("The message is past its retention and cannot be sent again.")
