"""What the gateway's routes have in common: who may call, and how a row is answered."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, Query, Response
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import disclosure
from svckit.errors import NotFound
from svckit.idempotency import Reply
from svckit.identity import Caller, requires
from svckit.paging import Page

from gateway import events
from gateway.domain import Decision, Scope
from gateway.models import (
    Agreement,
    Client,
    Consent,
    Grant,
    Organisation,
    RegistrationToken,
    TrustedIssuer,
)
from gateway.schemas import AgreementOut, AnyId, ClientOut, ConsentOut, GrantOut, OrganisationOut
from gateway.schemas.identity import RegistrationTokenOut, TrustedIssuerOut

Admin = Annotated[Caller, Depends(requires(Scope.ADMIN))]
MayRead = Annotated[Caller, Depends(requires(Scope.SHARING_READ))]
MayWrite = Annotated[Caller, Depends(requires(Scope.SHARING_WRITE))]
OfPerson = Annotated[AnyId | None, Query()]

_OUT: dict[type, type[BaseModel]] = {
    Organisation: OrganisationOut,
    Client: ClientOut,
    Agreement: AgreementOut,
    Consent: ConsentOut,
    Grant: GrantOut,
    TrustedIssuer: TrustedIssuerOut,
    RegistrationToken: RegistrationTokenOut,
}
Row = Organisation | Client | Agreement | Consent | Grant | TrustedIssuer | RegistrationToken


def note_of(row: Row) -> None:
    """Note whose a row about a person is."""
    if isinstance(row, (Consent, Grant)):
        disclosure.note(
            kind=row.__tablename__.rstrip("_"),
            custodian_id=row.custodian_id,
            person_id=row.person_id,
            classes=0,
        )


def body_of(row: Row) -> dict[str, Any]:
    """Show a row, all directives of a consent among it."""
    note_of(row)
    body = _OUT[type(row)].model_validate(row).model_dump(mode="json")
    if isinstance(row, Consent):
        said = events.directives_of(row)
        body["directives"] = [one.stored(row.decided_at) for one in said]
    return body


def share_of(row: Consent, caller: Caller) -> dict[str, Any]:
    """Show a consent to whom it permits something: what it says of the caller. Raises NotFound."""
    body = body_of(row)
    mine = [
        each
        for each in body["directives"]
        if each["recipient_id"] in (None, caller.organisation_id)
    ]
    if not any(each["decision"] == Decision.PERMIT for each in mine):
        raise NotFound
    first = {name: value for name, value in mine[0].items() if name in body}
    return {**body, **first, "directives": mine}


def shown(row: Row) -> Response:
    return Reply(body_of(row), version=row.version).response()


def created(resource: str) -> Any:
    async def reply(_: AsyncSession, __: Caller, row: Row) -> Reply:
        return Reply(body_of(row), 201, row.version, f"/v1/{resource}/{row.id}")

    return reply


async def changed(_: AsyncSession, __: Caller, row: Row) -> Reply:
    return Reply(body_of(row), version=row.version)


def after_of(page: Page, caller: Caller) -> str | None:
    found = page.after(caller.organisation_id)
    return str(found[0]) if found else None


def paged(page: Page, caller: Caller, rows: Sequence[Row]) -> Response:
    return page.reply(caller.organisation_id, rows, key=lambda row: [row.id], present=body_of)
