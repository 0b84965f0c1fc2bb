"""The gateway's resources: organisations, clients, agreements, consents, grants."""

from collections.abc import Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.db import Read
from svckit.errors import Forbidden
from svckit.idempotency import Act, Change, Create, Reply
from svckit.identity import Caller, requires
from svckit.paging import Page, Paging
from svckit.problems import PROBLEMS

from gateway import queries
from gateway.actions import agreements, clients, consents, organisations
from gateway.domain import Scope
from gateway.models import Agreement, Client, Consent, Grant, Organisation
from gateway.schemas import (
    AgreementIn,
    AgreementOut,
    AnyId,
    ClientIn,
    ClientOut,
    ClientPatch,
    ConsentIn,
    ConsentOut,
    GrantOut,
    NewClientOut,
    OrganisationIn,
    OrganisationOut,
    OrganisationPatch,
    PageOut,
)

Admin = Annotated[Caller, Depends(requires(Scope.ADMIN))]
MayRead = Annotated[Caller, Depends(requires(Scope.SHARING_READ))]
MayWrite = Annotated[Caller, Depends(requires(Scope.SHARING_WRITE))]
OfPerson = Annotated[AnyId | None, Query()]

the_organisations = APIRouter(prefix="/v1/organisations", tags=["organisations"])
the_clients = APIRouter(prefix="/v1/clients", tags=["clients"])
the_agreements = APIRouter(prefix="/v1/agreements", tags=["agreements"])
the_consents = APIRouter(prefix="/v1/consents", tags=["consents"])
the_grants = APIRouter(prefix="/v1/grants", tags=["grants"])
ROUTERS = (the_organisations, the_clients, the_agreements, the_consents, the_grants)

_OUT: dict[type, type[BaseModel]] = {
    Organisation: OrganisationOut,
    Client: ClientOut,
    Agreement: AgreementOut,
    Consent: ConsentOut,
    Grant: GrantOut,
}
Row = Organisation | Client | Agreement | Consent | Grant


@the_organisations.post("", status_code=201, response_model=OrganisationOut, responses=PROBLEMS)
async def register_organisation(body: OrganisationIn, caller: Admin, cmd: Create) -> Response:
    """Take an organisation into the network."""
    return await cmd.run(
        caller, lambda tx: organisations.register(tx, caller, body), _created("organisations")
    )


@the_organisations.get("", response_model=PageOut[OrganisationOut], responses=PROBLEMS)
async def list_organisations(caller: MayRead, session: Read, page: Paging) -> Response:
    """List the organisations of the network."""
    rows = await queries.list_organisations(session, _after(page, caller), page.limit)
    return _page(page, caller, rows)


@the_organisations.get("/{organisation_id}", response_model=OrganisationOut, responses=PROBLEMS)
async def get_organisation(organisation_id: str, _: MayRead, session: Read) -> Response:
    """Read an organisation."""
    return _shown(await queries.get_organisation(session, organisation_id))


@the_organisations.patch("/{organisation_id}", response_model=OrganisationOut, responses=PROBLEMS)
async def change_organisation(
    organisation_id: str, body: OrganisationPatch, caller: Admin, cmd: Change
) -> Response:
    """Rename an organisation."""
    return await cmd.run(
        caller,
        lambda tx: organisations.change(tx, caller, organisation_id, cmd.expected, body),
        _changed,
    )


@the_clients.post("", status_code=201, response_model=NewClientOut, responses=PROBLEMS)
async def register_client(request: Request, body: ClientIn, caller: Admin, cmd: Create) -> Response:
    """Register a client; a sandbox client's secret is in this answer and nowhere else."""
    fresh: list[str] = []

    async def register(tx: AsyncSession) -> Client:
        row, secret = await clients.register(tx, caller, body, request.app.state.verify.keys)
        fresh.extend([secret] if secret else [])
        return row

    answer = await cmd.run(caller, register, _created("clients"))
    # the stored answer of the idempotency record must not hold the secret: it is added on the way out
    return _with_secret(answer, fresh[0]) if fresh else answer


@the_clients.get("", response_model=PageOut[ClientOut], responses=PROBLEMS)
async def list_clients(
    caller: MayRead, session: Read, page: Paging, organisation_id: OfPerson = None
) -> Response:
    """List one's own clients; the coordinator lists all."""
    after = _after(page, caller)
    rows = await queries.list_clients(session, caller, organisation_id, after, page.limit)
    return _page(page, caller, rows)


@the_clients.get("/{client_id}", response_model=ClientOut, responses=PROBLEMS)
async def get_client(client_id: str, caller: MayRead, session: Read) -> Response:
    """Read a client."""
    return _shown(await queries.get_client(session, caller, client_id))


@the_clients.patch("/{client_id}", response_model=ClientOut, responses=PROBLEMS)
async def change_client(client_id: str, body: ClientPatch, caller: Admin, cmd: Change) -> Response:
    """Change a client's keys, rights or state."""
    if body.active is False and client_id == caller.client_id:
        raise Forbidden("A client cannot switch itself off.", code="own-client")
    return await cmd.run(
        caller, lambda tx: clients.change(tx, caller, client_id, cmd.expected, body), _changed
    )


@the_agreements.post("", status_code=201, response_model=AgreementOut, responses=PROBLEMS)
async def publish_agreement(body: AgreementIn, caller: Admin, cmd: Create) -> Response:
    """Put an agreement in force."""
    return await cmd.run(
        caller, lambda tx: agreements.publish(tx, caller, body), _created("agreements")
    )


@the_agreements.get("", response_model=PageOut[AgreementOut], responses=PROBLEMS)
async def list_agreements(caller: MayRead, session: Read, page: Paging) -> Response:
    """List the agreements one is a party of; the coordinator lists all."""
    rows = await queries.list_agreements(session, caller, _after(page, caller), page.limit)
    return _page(page, caller, rows)


@the_agreements.get("/{agreement_id}", response_model=AgreementOut, responses=PROBLEMS)
async def get_agreement(agreement_id: str, caller: MayRead, session: Read) -> Response:
    """Read an agreement."""
    return _shown(await queries.get_agreement(session, caller, agreement_id))


@the_agreements.post("/{agreement_id}/end", response_model=AgreementOut, responses=PROBLEMS)
async def end_agreement(agreement_id: str, caller: Admin, cmd: Act) -> Response:
    """End an agreement now."""
    return await cmd.run(
        caller, lambda tx: agreements.end(tx, caller, agreement_id, cmd.expected), _changed
    )


@the_consents.post("", status_code=201, response_model=ConsentOut, responses=PROBLEMS)
async def record_consent(
    request: Request, body: ConsentIn, caller: MayWrite, cmd: Create
) -> Response:
    """Record what a person decided; a permit for a named recipient opens grants."""
    state = request.app.state
    await consents.await_person(state.db, caller, body.person_id, state.settings.replica_wait_s)
    return await cmd.run(caller, lambda tx: consents.record(tx, caller, body), _created("consents"))


@the_consents.get("", response_model=PageOut[ConsentOut], responses=PROBLEMS)
async def list_consents(
    caller: MayRead, session: Read, page: Paging, person_id: OfPerson = None
) -> Response:
    """List the consents one recorded, and those of persons one registered."""
    after = _after(page, caller)
    rows = await queries.list_consents(session, caller, person_id, after, page.limit)
    return _page(page, caller, rows)


@the_consents.get("/{consent_id}", response_model=ConsentOut, responses=PROBLEMS)
async def get_consent(consent_id: str, caller: MayRead, session: Read) -> Response:
    """Read a consent."""
    return _shown(await queries.get_consent(session, caller, consent_id))


@the_consents.post("/{consent_id}/withdraw", response_model=ConsentOut, responses=PROBLEMS)
async def withdraw_consent(consent_id: str, caller: MayWrite, cmd: Act) -> Response:
    """Withdraw a consent: its grants end with it."""
    return await cmd.run(
        caller, lambda tx: consents.withdraw(tx, caller, consent_id, cmd.expected), _changed
    )


@the_grants.get("", response_model=PageOut[GrantOut], responses=PROBLEMS)
async def list_grants(
    caller: MayRead, session: Read, page: Paging, person_id: OfPerson = None
) -> Response:
    """List the grants one gives and holds."""
    after = _after(page, caller)
    rows = await queries.list_grants(session, caller, person_id, after, page.limit)
    return _page(page, caller, rows)


@the_grants.get("/{grant_id}", response_model=GrantOut, responses=PROBLEMS)
async def get_grant(grant_id: str, caller: MayRead, session: Read) -> Response:
    """Read a grant."""
    return _shown(await queries.get_grant(session, caller, grant_id))


def _body(row: Row) -> dict[str, Any]:
    return _OUT[type(row)].model_validate(row).model_dump(mode="json")


def _shown(row: Row) -> Response:
    return Reply(_body(row), version=row.version).response()


def _created(resource: str) -> Any:
    async def reply(_: AsyncSession, __: Caller, row: Row) -> Reply:
        return Reply(_body(row), 201, row.version, f"/v1/{resource}/{row.id}")

    return reply


async def _changed(_: AsyncSession, __: Caller, row: Row) -> Reply:
    return Reply(_body(row), version=row.version)


def _with_secret(answer: Response, secret: str) -> Response:
    body = orjson.dumps({**orjson.loads(answer.body), "client_secret": secret})
    headers = {k: v for k, v in answer.headers.items() if k != "content-length"}
    return Response(body, answer.status_code, headers)


def _after(page: Page, caller: Caller) -> str | None:
    found = page.after(caller.organisation_id)
    return str(found[0]) if found else None


def _page(page: Page, caller: Caller, rows: Sequence[Row]) -> Response:
    return page.reply(caller.organisation_id, rows, key=lambda row: [row.id], present=_body)
