"""Suspensions of a person's right to an accounting, as an agency demands them."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.clock import now
from svckit.errors import FieldError, Invalid
from svckit.identity import Caller
from svckit.ids import new_id

from gateway import queries
from gateway.models import Suspension
from gateway.queries import emergencies
from gateway.schemas.suspensions import SuspensionIn

ORAL = timedelta(days=30)


async def suspend(tx: AsyncSession, caller: Caller, body: SuspensionIn) -> Suspension:
    """Leave what the agency was told out of accountings until the end it stated.

    Raises Invalid: person not the caller's, agency unknown, an end that is over or too far.
    """
    at = now()
    if not await emergencies.keeps_records(tx, caller.organisation_id, body.person_id):
        raise _fault("person_id", "unknown-person", "There is no such person.")
    if await queries.find_organisation(tx, body.organisation_id) is None:
        raise _fault("organisation_id", "unknown-organisation", "There is no such organisation.")
    latest = at + ORAL
    ends = body.valid_to or latest
    if ends <= at:
        raise _fault("valid_to", "period", "The suspension would be over already.")
    if body.form == "oral" and ends > latest:
        raise _fault("valid_to", "oral-limit", "By word of mouth it is 30 days at the most.")
    row = Suspension(
        id=new_id("sus"),
        custodian_id=caller.organisation_id,
        person_id=body.person_id,
        organisation_id=body.organisation_id,
        authority=body.authority,
        form=body.form,
        official=body.official,
        reference=body.reference,
        valid_from=at,
        valid_to=ends,
        created_at=at,
    )
    tx.add(row)
    await tx.flush()
    await audit.record(tx, caller, action="accounting.suspend", resource=row.id, version=1)
    return row


def _fault(field: str, code: str, detail: str) -> Invalid:
    pointer = FieldError(f"#/{field}", code, detail)
    return Invalid("The accounting cannot be suspended.", errors=[pointer])
