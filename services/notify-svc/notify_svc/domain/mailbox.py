"""When a worker is written to. Instants are UTC; digests and quiet hours are in the worker's zone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from types import MappingProxyType
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from svckit.errors import Conflict, Invalid, TooManyRequests

from notify_svc.domain.inbox import Kind

# at once, then 1 min … 8 h: seven attempts over about half a day
SCHEDULE_S = (0.0, 60, 300, 1800, 7200, 14400, 28800)
# a code that was not given back by then is worth nothing
VERIFY_WITHIN = timedelta(days=1)
# addresses that one mailbox may ask to verify in a day
ASKS_A_DAY = 5


class Mode(StrEnum):
    IMMEDIATE = "immediate"
    DIGEST = "digest"
    OFF = "off"


class MailKind(StrEnum):
    IMMEDIATE = "immediate"
    DIGEST = "digest"
    VERIFY = "verify"
    OPERATIONS = "operations"


class MailStatus(StrEnum):
    """pending ──claim──> sending ──> sent | failed | pending again; cancelled, suppressed: unsent."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPPRESSED = "suppressed"


class MailOutcome(StrEnum):
    UNKNOWN = "unknown"
    SENT = "sent"
    DEFERRED = "deferred"
    REFUSED = "refused"


class CodeWrong(Invalid):
    code = "verification-code-wrong"


class NoAddress(Conflict):
    code = "no-address"


class TooManyAsked(TooManyRequests):
    code = "too-many-verifications"


DEFAULT_MODES: Mapping[Kind, Mode] = MappingProxyType(
    {kind: Mode.IMMEDIATE if kind is Kind.OVERDUE else Mode.DIGEST for kind in Kind}
)


@dataclass(frozen=True)
class Hours:
    """When a mailbox is written to: the hour of its digest, and from when to when it is left alone."""

    zone: str
    digest_hour: int
    quiet_from: time | None = None
    quiet_to: time | None = None


def is_zone(name: str) -> bool:
    """Tell whether the name is one of the IANA time zone database."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def next_digest(hours: Hours, now: datetime) -> datetime:
    """Return the next time that the digest's hour begins, after `now`."""
    zone = ZoneInfo(hours.zone)
    day = now.astimezone(zone).date()
    for days in range(3):
        at = datetime.combine(day + timedelta(days=days), time(hours.digest_hour), zone)
        if at.astimezone(UTC) > now:
            return at.astimezone(UTC)
    raise AssertionError("a day has its hour")


def day_of(hours: Hours, at: datetime) -> date:
    """Return the worker's day: there is one digest in each."""
    return at.astimezone(ZoneInfo(hours.zone)).date()


def quiet_until(hours: Hours, now: datetime) -> datetime | None:
    """Return when the quiet hours end that `now` lies in; None outside of them.

    Quiet from 20:00 to 07:00 goes over midnight; from and to alike is no quiet at all.
    """
    begin, end = hours.quiet_from, hours.quiet_to
    if begin is None or end is None or begin == end:
        return None
    zone = ZoneInfo(hours.zone)
    local = now.astimezone(zone)
    at = local.time()
    is_quiet = begin <= at < end if begin < end else at >= begin or at < end
    if not is_quiet:
        return None
    day = local.date() + timedelta(days=1 if begin > end and at >= begin else 0)
    until = datetime.combine(day, end, zone).astimezone(UTC)
    # an end that the change to summer time swallowed, or one that comes twice
    return until if until > now else until + timedelta(hours=1)


@dataclass(frozen=True)
class Answer:
    """What came of handing a mail over: the server's code, or the `error` that kept one from coming."""

    code: int | None = None
    error: str | None = None

    @property
    def is_sent(self) -> bool:
        return self.code is not None and 200 <= self.code < 300  # noqa: PLR2004  # RFC 5321 s4.2.1

    @property
    def is_final(self) -> bool:
        """The server will not take it, however often it is asked (RFC 5321 s4.2.1: 5yz)."""
        return self.code is not None and self.code >= 500  # noqa: PLR2004  # RFC 5321


@dataclass(frozen=True)
class Verdict:
    outcome: MailOutcome
    status: MailStatus
    step: int
    wait_s: float = 0.0
    reason: str | None = None


def judge(answer: Answer, step: int, chance: float, schedule: Sequence[float]) -> Verdict:
    """Decide what an answer does to a mail that failed `step` times before."""
    if answer.is_sent:
        return Verdict(MailOutcome.SENT, MailStatus.SENT, step)
    reason = answer.error or f"status-{answer.code}"
    if answer.is_final or step + 1 >= len(schedule):
        return Verdict(MailOutcome.REFUSED, MailStatus.FAILED, step + 1, 0, reason)
    wait_s = schedule[step + 1] * (0.5 + chance / 2)
    return Verdict(MailOutcome.DEFERRED, MailStatus.PENDING, step + 1, wait_s, reason)
