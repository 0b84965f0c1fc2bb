"""Grants that a custodian gives without the person's permit, and takes back."""

from datetime import datetime

from sharing import purposes as tree
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.clock import now
from svckit.errors import FieldError, Forbidden, Invalid, NotFound
from svckit.idempotency import check_version
from svckit.identity import Caller
from svckit.ids import new_id

from gateway import events, queries
from gateway.actions import grants
from gateway.domain import GIVEN, Basis, GrantOver, NotAgreed, NotGiven, check_treatment
from gateway.models import Agreement, Grant, Organisation
from gateway.queries import emergencies, facts
from gateway.schemas.grants import GrantIn


async def give(tx: AsyncSession, caller: Caller, body: GrantIn) -> Grant:
    """Open what is asked for under the agreement.

    Raises Invalid (agreement, person or case unknown to the caller, nothing to open), NotAgreed.
    """
    at = now()
    agreement, recipient = await _agreed(tx, caller, body, at)
    await _check_subject(tx, caller, body)
    basis = Basis(body.basis)
    asked = body.purposes or (["TREAT"] if basis is Basis.TREATMENT else None)
    classes = [name for name in agreement.classes if name in (body.classes or agreement.classes)]
    purposes = grants.purposes_of(agreement, asked)
    if not classes or not purposes:
        raise NotAgreed("Nothing of what is asked for is agreed.")
    if body.valid_to and body.valid_to <= at:
        raise _fault("valid_to", "period", "The grant would be over already.")
    row = Grant(
        id=new_id("grt"),
        custodian_id=caller.organisation_id,
        recipient_id=recipient.id,
        person_id=body.person_id,
        case_id=body.case_id,
        agreement_id=agreement.id,
        classes=classes,
        purposes=purposes,
        wanted=body.classes,
        basis=basis,
        basis_id=new_id("bas"),
        reference=body.reference,
        valid_from=at,
        valid_to=body.valid_to,
        version=1,
        created_at=at,
    )
    tx.add(row)
    await tx.flush()
    await events.grant(tx, "opened", row, caller)
    await audit.record(tx, caller, action="grant.open", resource=row.id, version=1)
    return row


async def take_back(tx: AsyncSession, caller: Caller, grant_id: str, expected: int) -> Grant:
    """End a grant that the caller gave. Raises NotFound, Forbidden, NotGiven, GrantOver."""
    row = await queries.get_grant(tx, caller, grant_id, lock=True)
    if row.custodian_id != caller.organisation_id:
        raise Forbidden("Only the custodian takes back what it gave.", code="not-custodian")
    check_version(row.version, expected)
    if row.basis not in GIVEN:
        raise NotGiven(f"The grant rests on {row.basis}, and ends with it.")
    if row.valid_to and row.valid_to <= now():
        raise GrantOver("The grant is over already.")
    row.valid_to = now()
    row.version += 1
    await tx.flush()
    await events.grant(tx, "ended", row, caller)
    await audit.record(tx, caller, action="grant.end", resource=row.id, version=row.version)
    return row


async def _agreed(
    tx: AsyncSession, caller: Caller, body: GrantIn, at: datetime
) -> tuple[Agreement, Organisation]:
    recipient = await queries.find_organisation(tx, body.recipient_id)
    if recipient is None or recipient.id == caller.organisation_id:
        raise _fault("recipient_id", "unknown-organisation", "There is no such recipient.")
    found = await queries.agreements_in_force(tx, caller.organisation_id, recipient, at)
    agreement = next((one for one in found if one.id == body.agreement_id), None)
    if agreement is None:
        raise _fault("agreement_id", "unknown-agreement", "No such agreement is in force.")
    if Basis(body.basis) is Basis.TREATMENT:
        agreed = tree.mask_of(agreement.purposes)
        check_treatment(agreement.legal_basis, caller.kind, recipient.kind, agreed)
    return agreement, recipient


async def _check_subject(tx: AsyncSession, caller: Caller, body: GrantIn) -> None:
    if not await emergencies.keeps_records(tx, caller.organisation_id, body.person_id):
        raise _fault("person_id", "unknown-person", "There is no such person.")
    if body.case_id is None:
        return
    try:
        named = await facts.case_file(tx, body.case_id, None)
    except NotFound:
        named = None
    if named is None or named[:2] != (caller.organisation_id, body.person_id):
        raise _fault("case_id", "unknown-case", "There is no such case of the person.")


def _fault(field: str, code: str, detail: str) -> Invalid:
    return Invalid("The grant cannot be given.", errors=[FieldError(f"#/{field}", code, detail)])
