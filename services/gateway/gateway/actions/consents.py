"""Consents: what a person decided, recorded by an organisation that knows the person."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.clock import now
from svckit.db import Database
from svckit.errors import FieldError, Invalid
from svckit.idempotency import check_version
from svckit.identity import Caller
from svckit.ids import new_id

from gateway import events, part2, queries
from gateway.actions import grants
from gateway.domain import Basis, ConsentWithdrawn, Decision
from gateway.fhir import Directive, Read, Reference, named_recipients, single
from gateway.models import Consent, Person
from gateway.queries import facts
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
    at = now()
    decided_at, starts = body.decided_at or at, body.valid_from or at
    reach = (body.purposes, body.classes, starts, body.valid_to)
    said = (single(body.decision.value, body.recipient_id, *reach),)
    if body.legal_basis:
        part2.check(said, dated=body.decided_at is not None, signed=body.signed_by is not None)
    consent = Decided(
        person=Reference(body.person_id, "#/person_id"),
        decided_at=decided_at,
        decided_pointer="#/decided_at",
        directives=said,
        recipients=(Reference(body.recipient_id, "#/recipient_id"),) if body.recipient_id else (),
        legal_basis=body.legal_basis,
        signed_by=body.signed_by,
    )
    return await _record(tx, caller, consent, at)


async def import_fhir(
    tx: AsyncSession, caller: Caller, resource: dict[str, Any], found: Read
) -> Consent:
    """Record a FHIR R4 Consent as it was read, kept as it came. Raises Invalid as `record`."""
    at = now()
    consent = Decided(
        person=found.person,
        decided_at=found.decided_at or at,
        decided_pointer="#/dateTime",
        directives=found.directives,
        recipients=found.recipients,
        custodians=found.custodians,
        cases=found.cases,
        legal_basis=found.legal_basis,
        active=found.status == "active",
        source=resource,
    )
    return await _record(tx, caller, consent, at)


@dataclass(frozen=True)
class Decided:
    """A decision before it is checked against what is known here."""

    person: Reference
    decided_at: datetime
    decided_pointer: str
    directives: tuple[Directive, ...]
    recipients: tuple[Reference, ...] = ()
    custodians: tuple[Reference, ...] = ()
    cases: tuple[Reference, ...] = ()
    legal_basis: str | None = None
    signed_by: str | None = None
    active: bool = True
    source: dict[str, Any] | None = None


async def _record(tx: AsyncSession, caller: Caller, decided: Decided, at: datetime) -> Consent:
    person = await _checked(tx, caller, decided, at)
    first = decided.directives[0]
    row = Consent(
        id=new_id("con"),
        person_id=person.id,
        custodian_id=person.custodian_id,
        recorded_by_id=caller.organisation_id,
        recipient_id=first.recipient_id,
        decision=Decision(first.decision),
        classes=list(first.classes),
        purposes=list(first.purposes),
        valid_from=first.valid_from or decided.decided_at,
        valid_to=first.valid_to,
        directives=[one.stored(decided.decided_at) for one in decided.directives],
        recipients=named_recipients(decided.directives),
        legal_basis=decided.legal_basis,
        signed_by=decided.signed_by,
        source=decided.source,
        decided_at=decided.decided_at,
        active=decided.active,
        version=1,
        created_at=at,
    )
    tx.add(row)
    await tx.flush()
    await events.consent(tx, "recorded", row, caller)
    await audit.record(tx, caller, action="consent.record", resource=row.id, version=1)
    if row.active:
        await grants.permitted(tx, row, at)
    return row


async def _checked(tx: AsyncSession, caller: Caller, decided: Decided, at: datetime) -> Person:
    """Return the person, known to the caller. Raises Invalid."""
    person = await queries.find_known_person(tx, caller, decided.person.id, at)
    if person is None:
        raise _fault(decided.person.pointer, "unknown-person", "There is no such person.")
    for named in decided.recipients:
        if await queries.find_organisation(tx, named.id) is None:
            raise _fault(named.pointer, "unknown-organisation", "There is no such organisation.")
    for named in decided.custodians:
        if named.id != person.custodian_id:
            detail = "A consent here is about what the person's custodian keeps."
            raise _fault(named.pointer, "other-custodian", detail)
    for named in decided.cases:
        if not await facts.is_case_of(tx, named.id, person.id):
            raise _fault(named.pointer, "unknown-case", "There is no such case of the person.")
    if decided.decided_at > at:
        detail = "A decision cannot be recorded beforehand."
        raise _fault(decided.decided_pointer, "in-the-future", detail)
    return person


async def withdraw(tx: AsyncSession, caller: Caller, consent_id: str, expected: int) -> Consent:
    """Withdraw a decision from now on. Raises NotFound, PreconditionFailed, ConsentWithdrawn."""
    row = await queries.get_consent(tx, caller, consent_id, lock=True)
    check_version(row.version, expected)
    if not row.active:
        raise ConsentWithdrawn("The consent has been withdrawn already.")
    row.active = False
    row.updated_at = now()
    row.version += 1
    await tx.flush()
    await events.consent(tx, "withdrawn", row, caller)
    await audit.record(tx, caller, action="consent.withdraw", resource=row.id, version=row.version)
    await grants.end(tx, Basis.CONSENT, row.id, at=now())
    return row


def _fault(pointer: str, code: str, detail: str) -> Invalid:
    return Invalid("The consent cannot be recorded.", errors=[FieldError(pointer, code, detail)])
