"""Consents: what a person decided, recorded by an organisation that knows the person."""

import asyncio

from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.clock import now
from svckit.db import Database
from svckit.errors import FieldError, Invalid
from svckit.idempotency import check_version
from svckit.identity import Caller
from svckit.ids import new_id

from gateway import events, queries
from gateway.actions import grants
from gateway.domain import Basis, ConsentWithdrawn, Decision
from gateway.models import Consent
from gateway.schemas import ConsentIn

_POLL_S = 0.05


async def await_person(db: Database, caller: Caller, person_id: str, wait_s: float) -> None:
    """Wait until a person registered a moment ago is known here, at most `wait_s`.

    Outside of any transaction, so that unknown ids do not hold connections.
    """
    deadline = asyncio.get_running_loop().time() + wait_s
    while asyncio.get_running_loop().time() < deadline:
        async with db.read() as session:
            if await queries.find_known_person(session, caller, person_id, now()):
                return
        await asyncio.sleep(_POLL_S)


async def record(tx: AsyncSession, caller: Caller, body: ConsentIn) -> Consent:
    """Record a decision; a permit for a named recipient opens the grants it allows.

    Raises Invalid: person unknown to the caller, recipient unknown, decided in the future.
    """
    person = await queries.find_known_person(tx, caller, body.person_id, now())
    if person is None:
        raise _fault("person_id", "unknown-person", "There is no such person.")
    if body.recipient_id and await queries.find_organisation(tx, body.recipient_id) is None:
        raise _fault("recipient_id", "unknown-organisation", "There is no such organisation.")
    at = now()
    if body.decided_at and body.decided_at > at:
        raise _fault("decided_at", "in-the-future", "A decision cannot be recorded beforehand.")
    row = Consent(
        id=new_id("con"),
        person_id=person.id,
        custodian_id=person.custodian_id,
        recorded_by_id=caller.organisation_id,
        recipient_id=body.recipient_id,
        decision=body.decision,
        classes=body.classes,
        purposes=body.purposes,
        valid_from=body.valid_from or at,
        valid_to=body.valid_to,
        decided_at=body.decided_at or at,
        active=True,
        version=1,
        created_at=at,
    )
    tx.add(row)
    await tx.flush()
    await events.consent(tx, "recorded", row, caller)
    await audit.record(tx, caller, action="consent.record", resource=row.id, version=1)
    if row.decision == Decision.PERMIT:
        await grants.permitted(tx, row, row.valid_from)
    return row


async def withdraw(tx: AsyncSession, caller: Caller, consent_id: str, expected: int) -> Consent:
    """Withdraw a decision from now on. Raises NotFound, PreconditionFailed, ConsentWithdrawn."""
    row = await queries.get_consent(tx, caller, consent_id, lock=True)
    check_version(row.version, expected)
    if not row.active:
        raise ConsentWithdrawn("The consent has been withdrawn already.")
    row.active = False
    row.version += 1
    await tx.flush()
    await events.consent(tx, "withdrawn", row, caller)
    await audit.record(tx, caller, action="consent.withdraw", resource=row.id, version=row.version)
    await grants.end(tx, Basis.CONSENT, row.id, at=now())
    return row


def _fault(field: str, code: str, detail: str) -> Invalid:
    return Invalid(
        "The consent cannot be recorded.", errors=[FieldError(f"#/{field}", code, detail)]
    )
