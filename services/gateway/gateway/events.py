"""What the gateway tells the others, on `sharing.v1`: the columns of their replica, no more.

`custodian_id` and `parties` decide who may hear of it through the feed. Nobody else learns of a
consent: its classes are all there are.
"""

from typing import Any

from sharing.classes import NAMES
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import wire
from svckit.identity import Caller
from svckit.outbox import Event, record

from gateway import part2
from gateway.fhir import Directive, restored, single
from gateway.models import (
    Agreement,
    Consent,
    EmergencyAccess,
    Grant,
    Organisation,
    PolicyPublication,
)

TOPIC = "sharing.v1"
# the policy of the network: one thing, whichever is in force
POLICY = f"pol_{'0' * 26}"
PUBLISHES = (
    *("organisation.registered", "organisation.changed"),
    *("agreement.published", "agreement.ended", "consent.recorded", "consent.withdrawn"),
    *("grant.opened", "grant.changed", "grant.ended"),
    *("policy.published",),
    *("emergency-access.opened", "emergency-access.ended", "emergency-access.reviewed"),
)


async def organisation(
    tx: AsyncSession, verb: str, row: Organisation, caller: Caller | None
) -> None:
    """Record organisation.registered or organisation.changed."""
    change = {"kind": row.kind.value, "name": row.name, "part2_program": row.part2_program}
    data = _data(row, row.id, [], f"/v1/organisations/{row.id}", change)
    await _record(tx, f"organisation.{verb}", row.id, data, caller)


async def agreement(tx: AsyncSession, verb: str, row: Agreement, caller: Caller | None) -> None:
    """Record agreement.published or agreement.ended."""
    change = {
        "custodian_id": row.custodian_id,
        "recipient_id": row.recipient_id,
        "recipient_kind": row.recipient_kind and row.recipient_kind.value,
        "purposes": row.purposes,
        "classes": row.classes,
        "consent_classes": row.consent_classes,
        "confidentiality": row.confidentiality,
        "legal_basis": row.legal_basis,
        "version": row.sha256 or str(row.version),
        "retention_days": row.retention_days,
        "valid_from": wire(row.valid_from),
        "valid_to": row.valid_to and wire(row.valid_to),
    }
    parties = [row.recipient_id] if row.recipient_id else []
    data = _data(row, row.custodian_id, parties, f"/v1/agreements/{row.id}", change)
    await _record(tx, f"agreement.{verb}", row.custodian_id, data, caller)


async def consent(tx: AsyncSession, verb: str, row: Consent, caller: Caller) -> None:
    """Record consent.recorded or consent.withdrawn."""
    change = {
        "person_id": row.person_id,
        "recipient_id": row.recipient_id,
        "decision": row.decision.value,
        "classes": row.classes,
        "purposes": row.purposes,
        "valid_from": wire(row.valid_from),
        "valid_to": row.valid_to and wire(row.valid_to),
        "directives": [one.stored(row.decided_at) for one in directives_of(row)],
        "decided_at": wire(row.decided_at),
        "active": row.active,
        "part2": row.legal_basis == part2.LEGAL_BASIS,
    }
    parties = [row.recorded_by_id] if row.recorded_by_id != row.custodian_id else []
    data = _data(row, row.custodian_id, parties, f"/v1/consents/{row.id}", change)
    data |= {"person_id": row.person_id, "classes": list(NAMES)}
    await _record(tx, f"consent.{verb}", row.person_id, data, caller)


def directives_of(row: Consent) -> list[Directive]:
    """Return all that a consent says, the first first."""
    if row.directives:
        return [restored(stored) for stored in row.directives]
    decision = row.decision.value
    reach = (row.purposes, row.classes, row.valid_from, row.valid_to)
    return [single(decision, row.recipient_id, *reach)]


async def grant(tx: AsyncSession, verb: str, row: Grant, caller: Caller | None) -> None:
    """Record grant.opened, grant.changed or grant.ended."""
    change = {
        "custodian_id": row.custodian_id,
        "recipient_id": row.recipient_id,
        "person_id": row.person_id,
        "case_id": row.case_id,
        "agreement_id": row.agreement_id,
        "classes": row.classes,
        "purposes": row.purposes,
        "basis": row.basis.value,
        "basis_id": row.basis_id,
        "valid_from": wire(row.valid_from),
        "valid_to": row.valid_to and wire(row.valid_to),
    }
    data = _data(row, row.custodian_id, [row.recipient_id], f"/v1/grants/{row.id}", change)
    data |= {"person_id": row.person_id, "case_id": row.case_id}
    await _record(tx, f"grant.{verb}", row.person_id, data, caller)


async def emergency_access(
    tx: AsyncSession, verb: str, row: EmergencyAccess, caller: Caller
) -> None:
    """Record emergency-access.opened, .ended or .reviewed: codes and times, no word of anybody."""
    change = {
        "requester_id": row.requester_id,
        "purpose": row.purpose,
        "emergency": row.reason_code.value,
        "opened_at": wire(row.opened_at),
        "ends_at": wire(row.ends_at),
        "review_due_at": wire(row.review_due_at),
        "outcome": row.outcome and row.outcome.value,
    }
    href = f"/v1/emergency-accesses/{row.id}"
    data = _data(row, row.custodian_id, [row.requester_id], href, change)
    data |= {"person_id": row.person_id, "case_id": row.case_id, "classes": list(NAMES)}
    await _record(tx, f"emergency-access.{verb}", row.person_id, data, caller)


async def policy(
    tx: AsyncSession, row: PolicyPublication, text: str, previous: str | None, caller: Caller
) -> None:
    """Record policy.published: the text itself, of which the version is the hash."""
    data = {
        "id": POLICY,
        "version": row.number,
        "custodian_id": caller.organisation_id,
        "person_id": None,
        "case_id": None,
        "parties": [],
        "classes": [],
        "href": "/v1/access/policy",
        "change": {"version": row.sha256, "previous": previous, "canonical": text},
    }
    await _record(tx, "policy.published", POLICY, data, caller)


def _data(
    row: Organisation | Agreement | Consent | Grant | EmergencyAccess,
    custodian_id: str,
    parties: list[str],
    href: str,
    change: dict[str, Any],
) -> dict[str, Any]:
    return {
        "id": row.id,
        "version": row.version,
        "custodian_id": custodian_id,
        "person_id": None,
        "case_id": None,
        "parties": parties,
        "classes": [],
        "href": href,
        "change": change,
    }


async def _record(
    tx: AsyncSession, noun_verb: str, key: str, data: dict[str, Any], caller: Caller | None
) -> None:
    event = Event(
        type=f"org.careloop.{noun_verb}.v1",
        subject=data["id"],
        version=data["version"],
        key=key,
        data=data,
    )
    await record(tx, event, caller=caller)
