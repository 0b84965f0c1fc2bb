"""The referral's states and who may set them.

Gravity SDOH Clinical Care 3.0.0, SDOHCC-TaskForReferralManagement; codes are FHIR R4 Task.status.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from svckit.errors import Conflict, FieldError, Forbidden, Invalid


class Status(StrEnum):
    """FHIR R4 Task.status without `received` and `ready` (Gravity referral subset)."""

    DRAFT = "draft"
    REQUESTED = "requested"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    IN_PROGRESS = "in-progress"
    ON_HOLD = "on-hold"
    FAILED = "failed"
    COMPLETED = "completed"
    ENTERED_IN_ERROR = "entered-in-error"


class RequestStatus(StrEnum):
    """FHIR R4 ServiceRequest.status: the requester's side of the same referral."""

    DRAFT = "draft"
    ACTIVE = "active"
    ON_HOLD = "on-hold"
    REVOKED = "revoked"
    COMPLETED = "completed"
    ENTERED_IN_ERROR = "entered-in-error"


class Party(StrEnum):
    """A referral's two sides: who asks (Task.requester), who is asked (Task.owner)."""

    REQUESTER = "requester"
    OWNER = "owner"


class Priority(StrEnum):
    """FHIR R4 request-priority."""

    ROUTINE = "routine"
    URGENT = "urgent"
    ASAP = "asap"
    STAT = "stat"


class NeedMet(StrEnum):
    YES = "yes"
    NO = "no"
    PARTLY = "partly"


_REQUESTER = frozenset({Party.REQUESTER})
_OWNER = frozenset({Party.OWNER})
_EITHER = _REQUESTER | _OWNER

MOVES: Mapping[tuple[Status | None, Status], frozenset[Party]] = {
    (None, Status.DRAFT): _REQUESTER,
    (None, Status.REQUESTED): _REQUESTER,
    (Status.DRAFT, Status.REQUESTED): _REQUESTER,
    (Status.REQUESTED, Status.ACCEPTED): _OWNER,
    (Status.REQUESTED, Status.REJECTED): _OWNER,
    (Status.REQUESTED, Status.CANCELLED): _EITHER,
    (Status.ACCEPTED, Status.IN_PROGRESS): _OWNER,
    (Status.ACCEPTED, Status.ON_HOLD): _OWNER,
    (Status.ACCEPTED, Status.COMPLETED): _OWNER,
    (Status.ACCEPTED, Status.FAILED): _OWNER,
    (Status.ACCEPTED, Status.CANCELLED): _EITHER,
    (Status.IN_PROGRESS, Status.ON_HOLD): _OWNER,
    (Status.IN_PROGRESS, Status.COMPLETED): _OWNER,
    (Status.IN_PROGRESS, Status.FAILED): _OWNER,
    (Status.IN_PROGRESS, Status.CANCELLED): _EITHER,
    (Status.ON_HOLD, Status.IN_PROGRESS): _OWNER,
    (Status.ON_HOLD, Status.COMPLETED): _OWNER,
    (Status.ON_HOLD, Status.FAILED): _OWNER,
    (Status.ON_HOLD, Status.CANCELLED): _EITHER,
} | {
    (state, Status.ENTERED_IN_ERROR): _REQUESTER
    for state in Status
    if state is not Status.ENTERED_IN_ERROR
}

NEEDS_REASON = frozenset({Status.REJECTED, Status.CANCELLED, Status.ON_HOLD, Status.FAILED})

REQUEST_STATUS: Mapping[Status, RequestStatus] = {
    Status.DRAFT: RequestStatus.DRAFT,
    Status.REQUESTED: RequestStatus.ACTIVE,
    Status.ACCEPTED: RequestStatus.ACTIVE,
    Status.IN_PROGRESS: RequestStatus.ACTIVE,
    Status.ON_HOLD: RequestStatus.ON_HOLD,
    Status.REJECTED: RequestStatus.REVOKED,
    Status.CANCELLED: RequestStatus.REVOKED,
    Status.FAILED: RequestStatus.REVOKED,
    Status.COMPLETED: RequestStatus.COMPLETED,
    Status.ENTERED_IN_ERROR: RequestStatus.ENTERED_IN_ERROR,
}


@dataclass(frozen=True)
class Outcome:
    """What came of it; at least one member is set on a completed referral (Task.output)."""

    activity_system: str | None = None
    activity_code: str | None = None
    activity_text: str | None = None
    need_met: NeedMet | None = None
    outcome_code: str | None = None

    @property
    def is_empty(self) -> bool:
        return not any((self.activity_code, self.activity_text, self.need_met, self.outcome_code))


class InvalidTransition(Conflict):
    """The referral is not in a state from which this move exists; the problem names it."""

    code = "invalid-transition"


class WrongParty(Forbidden):
    """The move exists, and is the other party's."""

    code = "wrong-party"


class ReasonMissing(Invalid):
    code = "reason-missing"


class OutcomeMissing(Invalid):
    code = "outcome-missing"


class NoAgreement(Conflict):
    """The two organisations have no agreement in force."""

    code = "no-agreement"


class ServiceNotActive(Conflict):
    code = "service-not-active"


def expect(state: Status, only: Status | None) -> None:
    """Raise InvalidTransition unless the state is the only one a command starts from."""
    if only is not None and state is not only:
        extra = {"current_status": state.value}
        raise InvalidTransition(f"A {state.value} referral is not {only.value}.", extra=extra)


def move(
    state: Status | None,
    to: Status,
    party: Party,
    *,
    reason: str | None = None,
    outcome: Outcome | None = None,
) -> Status:
    """Decide one move of the Gravity state table.

    Raises:
        InvalidTransition: no such move from this state; `extra.current_status` tells it.
        WrongParty: the move belongs to the other party.
        ReasonMissing: rejected, cancelled, on-hold and failed tell why.
        OutcomeMissing: a completed referral carries at least one outcome.
    """
    setters = MOVES.get((state, to))
    if setters is None:
        told = state.value if state else "new"
        extra = {"current_status": told}
        raise InvalidTransition(f"A {told} referral cannot become {to.value}.", extra=extra)
    if party not in setters:
        raise WrongParty(f"The {party.value} of a referral does not set {to.value} here.")
    if to in NEEDS_REASON and not (reason or "").strip():
        raise ReasonMissing(
            f"A {to.value} referral tells its reason.",
            errors=[FieldError("#/reason", "required", "Say why, in words.")],
        )
    if to is Status.COMPLETED and (outcome is None or outcome.is_empty):
        raise OutcomeMissing(
            "A completed referral tells at least one outcome.",
            errors=[FieldError("#/outcome", "required", "Give an activity, need_met or a code.")],
        )
    return to


def is_overdue(
    status: Status, accept_by: datetime | None, start_by: datetime | None, now: datetime
) -> bool:
    """Tell whether the owner let a deadline pass: to accept, then to start."""
    if status is Status.REQUESTED:
        return accept_by is not None and accept_by < now
    return status is Status.ACCEPTED and start_by is not None and start_by < now


def deadline(asked: datetime | None, since: datetime, within_hours: int) -> datetime:
    """Return the deadline asked for, else the default counted from `since`."""
    return asked or since + timedelta(hours=within_hours)
