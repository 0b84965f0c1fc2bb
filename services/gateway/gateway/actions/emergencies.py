"""Emergency access: some hours of what an agreement allows, against the person's word, reviewed.

FHIR purpose BTG; 42 CFR 2.51; 45 CFR 164.312(a)(2)(ii). It widens consent only: agreement, ceiling
and seal stand, in the rule itself (`libs/sharing`).
"""

import asyncio
from datetime import datetime, timedelta
from typing import Any

from prometheus_client import Gauge
from sharing import purposes
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit, turns
from svckit.clock import now
from svckit.errors import FieldError, Forbidden, Invalid
from svckit.idempotency import check_version
from svckit.identity import Caller
from svckit.ids import new_id

from gateway import domain, events, queries
from gateway.actions import grants
from gateway.domain import AccessEnded, AlreadyReviewed, Basis, NoAgreement, Outcome
from gateway.models import EmergencyAccess
from gateway.queries import emergencies
from gateway.schemas.emergencies import EmergencyAccessIn, ReviewIn

_OVERDUE = Gauge("careloop_emergency_reviews_overdue", "Emergency accesses not reviewed in time")
_LOOK_S = 5.0


async def open_access(
    tx: AsyncSession, caller: Caller, body: EmergencyAccessIn, address: str
) -> EmergencyAccess:
    """Open what the agreement in force allows, for four hours; the custodian is told.

    Raises Forbidden (kind or purpose), NoAgreement, Invalid (the custodian keeps no such person).
    """
    domain.check_emergency(caller.kind, caller.purpose)
    at = now()
    await _check_agreed(tx, caller, body.custodian_id, at)
    if not await emergencies.keeps_records(tx, body.custodian_id, body.person_id):
        fault = FieldError("#/person_id", "unknown-person", "The custodian has no such person.")
        raise Invalid("The emergency access cannot be opened.", errors=[fault])
    row = await _new(tx, caller, body, address, at)
    await events.emergency_access(tx, "opened", row, caller)
    await audit.record(tx, caller, action="emergency-access.open", resource=row.id, version=1)
    reason = grants.Reason(
        Basis.EMERGENCY,
        row.id,
        row.person_id,
        row.case_id,
        purposes=[domain.EMERGENCY],
        valid_to=row.ends_at,
    )
    await grants.open_under(tx, row.custodian_id, row.requester_id, None, reason, at=at)
    return row


async def _new(
    tx: AsyncSession, caller: Caller, body: EmergencyAccessIn, address: str, at: datetime
) -> EmergencyAccess:
    custodian = await queries.get_organisation(tx, body.custodian_id)
    row = EmergencyAccess(
        id=new_id("ema"),
        **body.model_dump(exclude={"discloser"}),
        discloser=body.discloser or f"{custodian.name}, by rule",
        requester_id=caller.organisation_id,
        client_id=caller.client_id,
        actor=caller.actor,
        address=address,
        purpose=caller.purpose,
        opened_at=at,
        ends_at=at + timedelta(hours=domain.EMERGENCY_HOURS),
        review_due_at=at + timedelta(hours=domain.REVIEW_HOURS),
        version=1,
        created_at=at,
    )
    tx.add(row)
    await tx.flush()
    return row


async def _check_agreed(tx: AsyncSession, caller: Caller, custodian_id: str, at: datetime) -> None:
    """Raise NoAgreement unless one in force covers the purpose: an emergency widens none."""
    recipient = await queries.get_organisation(tx, caller.organisation_id)
    agreed = await queries.agreements_in_force(tx, custodian_id, recipient, at)
    covered = (purposes.covers(purposes.mask_of(one.purposes), caller.purpose) for one in agreed)
    if custodian_id == caller.organisation_id or not any(covered):
        raise NoAgreement("No agreement in force lets the custodian share for this purpose.")


async def end(tx: AsyncSession, caller: Caller, access_id: str, expected: int) -> EmergencyAccess:
    """End an access before its time; either side may.

    Raises NotFound, PreconditionFailed, AccessEnded.
    """
    row = await emergencies.get(tx, caller, access_id, lock=True)
    check_version(row.version, expected)
    if row.ends_at <= now():
        raise AccessEnded("The emergency access is over already.")
    await _end(tx, caller, row)
    return row


async def review(
    tx: AsyncSession, caller: Caller, access_id: str, body: ReviewIn
) -> EmergencyAccess:
    """Record the custodian's one review; an unjustified access that still runs ends with it.

    Raises NotFound, Forbidden (the requester asks), AlreadyReviewed.
    """
    row = await emergencies.get(tx, caller, access_id, lock=True)
    if row.custodian_id != caller.organisation_id:
        raise Forbidden("Only the custodian reviews an access.", code="not-the-custodian")
    if row.outcome is not None:
        raise AlreadyReviewed("The emergency access has been reviewed already.")
    if body.outcome == Outcome.UNJUSTIFIED and row.ends_at > now():
        await _end(tx, caller, row)
    row.outcome = body.outcome
    row.review_note = body.note
    row.reviewed_by = caller.client_id
    row.reviewed_at = now()
    row.version += 1
    await tx.flush()
    await events.emergency_access(tx, "reviewed", row, caller)
    await audit.record(
        tx, caller, action="emergency-access.review", resource=row.id, version=row.version
    )
    return row


async def _end(tx: AsyncSession, caller: Caller, row: EmergencyAccess) -> None:
    row.ends_at = now()
    row.ended_by_id = caller.organisation_id
    row.version += 1
    await tx.flush()
    await events.emergency_access(tx, "ended", row, caller)
    await audit.record(
        tx, caller, action="emergency-access.end", resource=row.id, version=row.version
    )
    await grants.end(tx, Basis.EMERGENCY, row.id, at=row.ends_at)


async def watch(running: Any, stop: asyncio.Event) -> None:
    """Keep the gauge of reviews that are overdue, until stopped."""

    async def count() -> None:
        async with running.db.read() as session:
            _OVERDUE.set(await emergencies.count_overdue(session, now()))

    await turns.run(count, stop, failed="reviews cannot be counted", idle_s=_LOOK_S)
