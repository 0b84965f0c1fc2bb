"""The moves of a referral. Every write first locks the row: event order is commit order."""

from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.clock import now
from svckit.errors import Forbidden
from svckit.idempotency import check_version
from svckit.identity import Caller

from referral_svc import events
from referral_svc.actions import agreements, readers
from referral_svc.domain import referral as rules
from referral_svc.domain.referral import Outcome, Party, Status
from referral_svc.models import Referral, Transition
from referral_svc.queries import referrals
from referral_svc.schemas.referrals import CompleteIn, MoveIn, OutcomeIn
from referral_svc.settings import Settings


class NotAParty(Forbidden):
    code = "not-a-party"


async def move(
    tx: AsyncSession,
    caller: Caller,
    referral_id: str,
    to: Status,
    *,
    expected: int,
    settings: Settings,
    body: MoveIn | CompleteIn,
    only_from: Status | None = None,
) -> Referral:
    """Move the referral along the Gravity table; of two at once, one wins.

    The state is judged before the version, so that a loser learns the current state.

    Raises:
        NotFound: not there, or not the caller's.
        NotAParty: the caller sees the referral and is neither side of it.
        InvalidTransition, WrongParty, ReasonMissing, OutcomeMissing: see `domain.referral.move`.
        PreconditionFailed: the referral changed since it was read.
    """
    row = await referrals.get_for_update(tx, caller, referral_id)
    party, before = party_of(row, caller), row.status
    outcome = body.outcome if isinstance(body, CompleteIn) else None
    rules.expect(before, only_from)
    rules.move(before, to, party, reason=body.reason, outcome=_value(outcome))
    check_version(row.version, expected)
    if to is Status.REQUESTED:
        await agreements.need(tx, row.requester_id, row.owner_id, settings.replica_wait_s)
    if outcome is not None:
        _note(row, outcome)
    row.version += 1
    row.updated_at = now()
    row.status_reason = body.reason
    enter(row, to, settings)
    await tell(tx, caller, row, before=before, party=party)
    return row


def enter(row: Referral, status: Status, settings: Settings) -> None:
    """Set what follows from a state: the requester's status and the deadlines."""
    at = row.updated_at
    row.status = status
    row.request_status = rules.REQUEST_STATUS[status]
    if status is Status.REQUESTED:
        row.requested_at = at
        row.accept_by = rules.deadline(row.accept_by, at, settings.accept_within_hours)
    if status in (Status.REQUESTED, Status.ACCEPTED):
        row.start_by = rules.deadline(row.start_by, at, settings.start_within_hours)


async def tell(
    tx: AsyncSession, caller: Caller, row: Referral, *, before: Status | None, party: Party
) -> None:
    """Write the history, the readers, the event and the audit row of one move."""
    transition = Transition(
        referral_id=row.id,
        version=row.version,
        from_status=before,
        to_status=row.status,
        party=party,
        organisation_id=caller.organisation_id,
        actor=caller.actor,
        reason=row.status_reason,
        at=row.updated_at,
    )
    tx.add(transition)
    await tx.flush()
    if row.status in (Status.DRAFT, Status.REQUESTED):
        await readers.admit_all(tx, row)
    await events.moved(tx, caller, row, before)
    action = f"referral.{row.status.value}"
    await audit.record(tx, caller, action=action, resource=row.id, version=row.version)


def party_of(row: Referral, caller: Caller) -> Party:
    """Return the caller's side. Raises NotAParty for whoever may see it and is neither."""
    if caller.organisation_id == row.requester_id:
        return Party.REQUESTER
    if caller.organisation_id == row.owner_id:
        return Party.OWNER
    raise NotAParty("Only the two parties of a referral act on it.")


def _value(given: OutcomeIn | None) -> Outcome | None:
    if given is None:
        return None
    activity = given.activity
    return Outcome(
        activity_system=activity.system if activity else None,
        activity_code=activity.code if activity else None,
        activity_text=(activity.text if activity else None) or given.text,
        need_met=given.need_met,
        outcome_code=given.code,
    )


def _note(row: Referral, outcome: OutcomeIn) -> None:
    row.outcome_activity = outcome.activity.model_dump() if outcome.activity else None
    row.outcome_text = outcome.text
    row.need_met = outcome.need_met
    row.outcome_code = outcome.code
