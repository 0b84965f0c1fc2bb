"""Every SELECT of the gateway. What is not the caller's own is not found."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal, or_, select, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.identity import Caller

from gateway.domain import GIVEN, Basis, Decision, Scope
from gateway.models import (
    Agreement,
    Client,
    Consent,
    Grant,
    Organisation,
    Person,
)
from gateway.queries import rows


def is_admin(caller: Caller) -> bool:
    return Scope.ADMIN.value in caller.scopes


async def find_organisation(tx: AsyncSession, organisation_id: str) -> Organisation | None:
    return await tx.get(Organisation, organisation_id)


async def get_organisation(
    tx: AsyncSession, organisation_id: str, *, lock: bool = False
) -> Organisation:
    """Return an organisation; participants know each other. Raises NotFound."""
    return await rows.get(tx, Organisation, organisation_id, lock=lock)


async def list_organisations(tx: AsyncSession, after: str | None, limit: int) -> list[Organisation]:
    """Return organisations, newest first, one more than the limit."""
    return await rows.page(tx, Organisation, after=after, limit=limit)


def _own_clients(caller: Caller) -> ColumnElement[bool]:
    return true() if is_admin(caller) else Client.organisation_id == caller.organisation_id


async def get_client(
    tx: AsyncSession, caller: Caller, client_id: str, *, lock: bool = False
) -> Client:
    """Return a client the caller may see. Raises NotFound."""
    return await rows.get(tx, Client, client_id, _own_clients(caller), lock=lock)


async def list_clients(
    tx: AsyncSession, caller: Caller, organisation_id: str | None, after: str | None, limit: int
) -> list[Client]:
    """Return the clients the caller may see, newest first, one more than the limit."""
    within = _own_clients(caller), rows.same(Client.organisation_id, organisation_id)
    return await rows.page(tx, Client, *within, after=after, limit=limit)


def _own_agreements(caller: Caller) -> ColumnElement[bool]:
    if is_admin(caller):
        return true()
    return or_(
        Agreement.custodian_id == caller.organisation_id,
        Agreement.recipient_id == caller.organisation_id,
        Agreement.recipient_kind == caller.kind,
    )


async def get_agreement(
    tx: AsyncSession, caller: Caller, agreement_id: str, *, lock: bool = False
) -> Agreement:
    """Return an agreement the caller is a party of. Raises NotFound."""
    return await rows.get(tx, Agreement, agreement_id, _own_agreements(caller), lock=lock)


async def list_agreements(
    tx: AsyncSession, caller: Caller, after: str | None, limit: int
) -> list[Agreement]:
    """Return the caller's agreements, newest first, one more than the limit."""
    return await rows.page(tx, Agreement, _own_agreements(caller), after=after, limit=limit)


async def agreements_in_force(
    tx: AsyncSession, custodian_id: str, recipient: Organisation, at: datetime
) -> Sequence[Agreement]:
    """Return what binds the two at that instant, oldest first."""
    found = await agreements_from(tx, custodian_id, recipient, at)
    return [agreement for agreement in found if agreement.valid_from <= at]


async def agreements_from(
    tx: AsyncSession, custodian_id: str, recipient: Organisation, at: datetime
) -> Sequence[Agreement]:
    """Return what binds the two from that instant on, also what begins later; oldest first."""
    query = (
        select(Agreement)
        .where(
            Agreement.custodian_id == custodian_id,
            or_(
                Agreement.recipient_id == recipient.id,
                Agreement.recipient_kind == recipient.kind,
            ),
            or_(Agreement.valid_to.is_(None), Agreement.valid_to > at),
        )
        .order_by(Agreement.id)
    )
    return (await tx.scalars(query)).all()


def _own_consents(caller: Caller) -> ColumnElement[bool]:
    return or_(
        Consent.custodian_id == caller.organisation_id,
        Consent.recorded_by_id == caller.organisation_id,
    )


async def get_consent(
    tx: AsyncSession, caller: Caller, consent_id: str, *, lock: bool = False
) -> Consent:
    """Return a consent the caller recorded or whose person it registered. Raises NotFound."""
    return await rows.get(tx, Consent, consent_id, _own_consents(caller), lock=lock)


async def find_consent_about(
    tx: AsyncSession, caller: Caller, consent_id: str, at: datetime
) -> Consent:
    """Return a consent of a person of whom the caller holds something now. Raises NotFound."""
    held = _held(caller, at).where(Grant.person_id == Consent.person_id).correlate(Consent)
    return await rows.get(tx, Consent, consent_id, held.exists())


def _held(caller: Caller, at: datetime) -> Select[str]:
    return select(Grant.id).where(
        Grant.recipient_id == caller.organisation_id,
        Grant.valid_from <= at,
        or_(Grant.valid_to.is_(None), Grant.valid_to > at),
    )


async def list_consents(
    tx: AsyncSession, caller: Caller, person_id: str | None, after: str | None, limit: int
) -> list[Consent]:
    """Return the caller's consents, newest first, one more than the limit."""
    within = _own_consents(caller), rows.same(Consent.person_id, person_id)
    return await rows.page(tx, Consent, *within, after=after, limit=limit)


def _own_grants(caller: Caller) -> ColumnElement[bool]:
    return or_(
        Grant.custodian_id == caller.organisation_id, Grant.recipient_id == caller.organisation_id
    )


async def get_grant(
    tx: AsyncSession, caller: Caller, grant_id: str, *, lock: bool = False
) -> Grant:
    """Return a grant the caller gives or holds. Raises NotFound."""
    return await rows.get(tx, Grant, grant_id, _own_grants(caller), lock=lock)


async def list_grants(
    tx: AsyncSession, caller: Caller, person_id: str | None, after: str | None, limit: int
) -> list[Grant]:
    """Return the caller's grants, newest first, one more than the limit."""
    within = _own_grants(caller), rows.same(Grant.person_id, person_id)
    return await rows.page(tx, Grant, *within, after=after, limit=limit)


async def grants_of(tx: AsyncSession, basis: Basis, basis_id: str) -> Sequence[Grant]:
    """Return the grants with that reason, locked in one order."""
    query = (
        select(Grant)
        .where(Grant.basis_id == basis_id, Grant.basis == basis)
        .order_by(Grant.id)
        .with_for_update()
    )
    return (await tx.scalars(query)).all()


def _parties(agreement: Agreement, recipient_id: Any) -> ColumnElement[bool]:
    """Return whether the column names a recipient of the agreement."""
    if agreement.recipient_id:
        found: ColumnElement[bool] = recipient_id == agreement.recipient_id
        return found
    kind = select(Organisation.id).where(Organisation.kind == agreement.recipient_kind)
    meant: ColumnElement[bool] = recipient_id.in_(kind)
    return meant


async def standing_grants(tx: AsyncSession, agreement: Agreement, at: datetime) -> Sequence[Grant]:
    """Return the grants between the agreement's parties that have not ended, but for consents."""
    query = (
        select(Grant)
        .where(
            Grant.custodian_id == agreement.custodian_id,
            _parties(agreement, Grant.recipient_id),
            # what was given by hand, or in an emergency, was given under what was agreed then
            Grant.basis.not_in((Basis.CONSENT, Basis.EMERGENCY, *GIVEN)),
            or_(Grant.valid_to.is_(None), Grant.valid_to > at),
        )
        .order_by(Grant.id)
    )
    return (await tx.scalars(query)).all()


def _permitted_by_name(agreement: Agreement) -> ColumnElement[bool]:
    """Return whether some directive of the consent permits a recipient of the agreement."""
    named = func.jsonb_array_elements_text(Consent.recipients).table_valued("value")
    found = select(literal(1)).select_from(named).where(_parties(agreement, named.c.value))
    return found.correlate(Consent).exists()


async def standing_permits(
    tx: AsyncSession, agreement: Agreement, at: datetime
) -> Sequence[Consent]:
    """Return the active permits of the custodian's persons for a recipient of the agreement."""
    query = (
        select(Consent)
        .where(
            Consent.custodian_id == agreement.custodian_id,
            Consent.active,
            or_(
                and_(
                    Consent.decision == Decision.PERMIT,
                    _parties(agreement, Consent.recipient_id),
                    or_(Consent.valid_to.is_(None), Consent.valid_to > at),
                ),
                _permitted_by_name(agreement),
            ),
        )
        .order_by(Consent.id)
    )
    return (await tx.scalars(query)).all()


async def find_known_person(
    tx: AsyncSession, caller: Caller, person_id: str, at: datetime
) -> Person | None:
    """Return a person the caller registered or holds a grant on at that instant."""
    held = _held(caller, at).where(Grant.person_id == person_id).exists()
    query = select(Person).where(
        Person.id == person_id, or_(Person.custodian_id == caller.organisation_id, held)
    )
    return await tx.scalar(query)


async def put_person(tx: AsyncSession, person_id: str, custodian_id: str) -> None:
    """Note who registered a person; the first word stands."""
    statement = insert(Person).values(id=person_id, custodian_id=custodian_id)
    await tx.execute(statement.on_conflict_do_nothing())


async def first_admin(tx: AsyncSession, kind: str) -> tuple[Organisation, Client] | None:
    """Return the oldest client with the admin scope, and its organisation."""
    query = (
        select(Organisation, Client)
        .join(Client, Client.organisation_id == Organisation.id)
        .where(Organisation.kind == kind, Client.scopes.contains([Scope.ADMIN.value]))
        .order_by(Client.id)
        .limit(1)
    )
    row = (await tx.execute(query)).first()
    return (row[0], row[1]) if row else None
