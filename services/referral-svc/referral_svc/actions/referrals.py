"""The verbs of a referral. Every write first locks the row: event order is commit order."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from sharing.classes import DataClass
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.clock import now
from svckit.errors import FieldError, Forbidden, Invalid
from svckit.idempotency import check_version
from svckit.identity import Caller
from svckit.ids import new_id

from referral_svc import events
from referral_svc.actions import readers
from referral_svc.domain import referral as rules
from referral_svc.domain.needs import SAFETY
from referral_svc.domain.referral import Outcome, Party, Status
from referral_svc.models import Message, Referral, Service, Transition
from referral_svc.queries import directory, network, referrals
from referral_svc.schemas.referrals import OutcomeIn, ReferralChange, ReferralIn
from referral_svc.settings import Settings

T = TypeVar("T")
_POLL_S = 0.05


class NotAParty(Forbidden):
    code = "not-a-party"


async def create(
    tx: AsyncSession, caller: Caller, body: ReferralIn, settings: Settings
) -> Referral:
    """Write a referral from the caller, as a draft or requested at once.

    Raises:
        Invalid: the case, person, service or organisation is not known to the caller.
        NoAgreement: nothing in force lets the two organisations refer.
        ServiceNotActive: the directory says the service takes nobody.
    """
    standing = await _standing(tx, caller, body, settings.replica_wait_s)
    service, owner_id = await _target(tx, caller, body)
    status = Status(body.status)
    if status is Status.REQUESTED:
        await _agreed(tx, caller.organisation_id, owner_id, settings.replica_wait_s)
    row = _row(caller, body, owner_id, standing.custodian_id)
    row.service_id = service.id if service else None
    _move(row, rules.move(None, status, Party.REQUESTER), settings)
    tx.add(row)
    await tx.flush()
    await _told(tx, caller, row, before=None, party=Party.REQUESTER)
    return row


def _row(caller: Caller, body: ReferralIn, owner_id: str, custodian_id: str) -> Referral:
    at = now()
    sensitive = body.need_category in SAFETY
    return Referral(
        id=new_id("ref"),
        version=1,
        custodian_id=custodian_id,
        requester_id=caller.organisation_id,
        owner_id=owner_id,
        case_id=body.case_id,
        person_id=body.person_id,
        need_id=body.need_id,
        need_category=body.need_category,
        required_classes=int(DataClass.SAFETY) if sensitive else 0,
        priority=body.priority,
        reason=body.reason,
        requested_activity=body.requested_activity.model_dump()
        if body.requested_activity
        else None,
        contacting_subject_prohibited=body.contacting_subject_prohibited,
        requester_number=body.requester_number,
        document_ids=list(body.document_ids),
        accept_by=body.accept_by,
        start_by=body.start_by,
        created_at=at,
        updated_at=at,
    )


async def _standing(
    tx: AsyncSession, caller: Caller, body: ReferralIn, wait_s: float
) -> network.Standing:
    """Return the case's standing; "not there" and "not yours" are told the same way."""

    async def mine() -> network.Standing | None:
        found = await network.find_standing(tx, caller, body.case_id)
        return found if found and found.may_coordinate else None

    standing = await _within(wait_s, mine)
    if standing is None:
        raise _unknown("case_id", "No case of yours has this id.")
    if standing.person_id != body.person_id:
        raise _unknown("person_id", "The case is about another person.")
    return standing


async def _target(tx: AsyncSession, caller: Caller, body: ReferralIn) -> tuple[Service | None, str]:
    service = None
    owner_id = body.owner_id
    if body.service_id:
        service = await directory.find_service(tx, body.service_id)
        if service is None:
            raise _unknown("service_id", "The directory has no such service.")
        if owner_id not in (None, service.organisation_id):
            raise _unknown("owner_id", "The service belongs to another organisation.")
        owner_id = service.organisation_id
        if service.status != "active":
            raise rules.ServiceNotActive(f"The service is {service.status}.")
    if owner_id is None or (service is None and not await network.is_organisation(tx, owner_id)):
        raise _unknown("owner_id", "The network has no such organisation.")
    if owner_id == caller.organisation_id:
        raise _unknown("owner_id", "A referral goes to another organisation.", code="same-party")
    return service, owner_id


async def _agreed(tx: AsyncSession, requester_id: str, owner_id: str, wait_s: float) -> None:
    async def agreed() -> bool | None:
        found = await network.has_agreement(tx, custodian_id=requester_id, recipient_id=owner_id)
        return found or None

    if not await _within(wait_s, agreed):
        raise rules.NoAgreement("No agreement in force lets you refer to this organisation.")


async def _within(wait_s: float, look: Callable[[], Awaitable[T | None]]) -> T | None:
    """Look until something is found, at most `wait_s`: events of other services take a moment."""
    until = time.monotonic() + wait_s
    while True:
        found = await look()
        if found is not None or time.monotonic() >= until:
            return found
        await asyncio.sleep(_POLL_S)


def _unknown(field: str, detail: str, *, code: str = "unknown") -> Invalid:
    error = FieldError(f"#/{field}", code, detail)
    return Invalid("The referral names something that is not there.", errors=[error])


async def move(
    tx: AsyncSession,
    caller: Caller,
    referral_id: str,
    to: Status,
    *,
    expected: int,
    settings: Settings,
    reason: str | None = None,
    outcome: OutcomeIn | None = None,
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
    party = _party(row, caller)
    before = row.status
    if only_from is not None and before is not only_from:
        extra = {"current_status": before.value}
        detail = f"A {before.value} referral is not {only_from.value}."
        raise rules.InvalidTransition(detail, extra=extra)
    decided = rules.move(before, to, party, reason=reason, outcome=_outcome(outcome))
    check_version(row.version, expected)
    if decided is Status.REQUESTED:
        await _agreed(tx, row.requester_id, row.owner_id, settings.replica_wait_s)
    if outcome is not None:
        _note_outcome(row, outcome)
    row.version += 1
    row.updated_at = now()
    row.status_reason = reason
    _move(row, decided, settings)
    await _told(tx, caller, row, before=before, party=party, reason=reason)
    return row


def _move(row: Referral, status: Status, settings: Settings) -> None:
    at: datetime = row.updated_at
    row.status = status
    row.request_status = rules.REQUEST_STATUS[status]
    if status is Status.REQUESTED:
        row.requested_at = at
        row.accept_by = rules.deadline(row.accept_by, at, settings.accept_within_hours)
    if status in (Status.REQUESTED, Status.ACCEPTED):
        row.start_by = rules.deadline(row.start_by, at, settings.start_within_hours)


async def _told(
    tx: AsyncSession,
    caller: Caller,
    row: Referral,
    *,
    before: Status | None,
    party: Party,
    reason: str | None = None,
) -> None:
    """Write the history, the readers, the event and the audit row of one move."""
    tx.add(
        Transition(
            referral_id=row.id,
            version=row.version,
            from_status=before,
            to_status=row.status,
            party=party,
            organisation_id=caller.organisation_id,
            actor=caller.actor,
            reason=reason,
            at=row.updated_at,
        )
    )
    await tx.flush()
    if row.status in (Status.DRAFT, Status.REQUESTED):
        await readers.admit_all(tx, row)
    await events.moved(tx, caller, row, before)
    action = f"referral.{row.status.value}"
    await audit.record(tx, caller, action=action, resource=row.id, version=row.version)


def _outcome(given: OutcomeIn | None) -> Outcome | None:
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


def _note_outcome(row: Referral, outcome: OutcomeIn) -> None:
    row.outcome_activity = outcome.activity.model_dump() if outcome.activity else None
    row.outcome_text = outcome.text
    row.need_met = outcome.need_met
    row.outcome_code = outcome.code


def _party(row: Referral, caller: Caller) -> Party:
    if caller.organisation_id == row.requester_id:
        return Party.REQUESTER
    if caller.organisation_id == row.owner_id:
        return Party.OWNER
    raise NotAParty("Only the two parties of a referral act on it.")


_WHOSE = {
    "requester_number": Party.REQUESTER,
    "owner_number": Party.OWNER,
    "business_status": Party.OWNER,
}


async def change(
    tx: AsyncSession, caller: Caller, referral_id: str, body: ReferralChange, *, expected: int
) -> Referral:
    """Set each side's own fields; a null clears one.

    Raises:
        NotFound, NotAParty, PreconditionFailed: as for `move`.
        WrongParty: a field belongs to the other side.
    """
    row = await referrals.get_for_update(tx, caller, referral_id)
    party = _party(row, caller)
    given = body.model_dump(exclude_unset=True)
    foreign = [name for name in given if _WHOSE[name] is not party]
    if foreign:
        errors = [FieldError(f"#/{name}", "wrong-party", "The other side's.") for name in foreign]
        raise rules.WrongParty("Each side sets its own fields.", errors=errors)
    check_version(row.version, expected)
    fields = [name for name, value in given.items() if getattr(row, name) != value]
    if not fields:
        return row
    for name in fields:
        setattr(row, name, given[name])
    row.version += 1
    row.updated_at = now()
    await tx.flush()
    await events.changed(tx, caller, row, fields)
    await audit.record(tx, caller, action="referral.change", resource=row.id, version=row.version)
    return row


async def send_message(tx: AsyncSession, caller: Caller, referral_id: str, text: str) -> Message:
    """Write to the other side. Raises NotFound, NotAParty."""
    row = await referrals.get_for_update(tx, caller, referral_id)
    _party(row, caller)
    message = Message(
        id=new_id("msg"),
        version=1,
        referral_id=row.id,
        sender_id=caller.organisation_id,
        actor=caller.actor,
        text=text,
        sent_at=now(),
    )
    tx.add(message)
    await tx.flush()
    await events.message_sent(tx, caller, row, message)
    await audit.record(tx, caller, action="message.send", resource=message.id, version=1)
    return message
