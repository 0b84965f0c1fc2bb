"""/v1/organisations."""

from fastapi import APIRouter, Response
from svckit.db import Read
from svckit.idempotency import Change, Create
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from gateway import queries
from gateway.actions import organisations
from gateway.api.common import Admin, MayRead, after_of, changed, created, paged, shown
from gateway.schemas import OrganisationIn, OrganisationOut, OrganisationPatch, PageOut

router = APIRouter(prefix="/v1/organisations", tags=["organisations"])


@router.post("", status_code=201, response_model=OrganisationOut, responses=PROBLEMS)
async def register_organisation(body: OrganisationIn, caller: Admin, cmd: Create) -> Response:
    """Take an organisation into the network."""
    return await cmd.run(
        caller, lambda tx: organisations.register(tx, caller, body), created("organisations")
    )


@router.get("", response_model=PageOut[OrganisationOut], responses=PROBLEMS)
async def list_organisations(caller: MayRead, session: Read, page: Paging) -> Response:
    """List the organisations of the network."""
    rows = await queries.list_organisations(session, after_of(page, caller), page.limit)
    return paged(page, caller, rows)


@router.get("/{organisation_id}", response_model=OrganisationOut, responses=PROBLEMS)
async def get_organisation(organisation_id: str, _: MayRead, session: Read) -> Response:
    """Read an organisation."""
    return shown(await queries.get_organisation(session, organisation_id))


@router.patch("/{organisation_id}", response_model=OrganisationOut, responses=PROBLEMS)
async def change_organisation(
    organisation_id: str, body: OrganisationPatch, caller: Admin, cmd: Change
) -> Response:
    """Rename an organisation, or say whether it is a Part 2 program."""
    return await cmd.run(
        caller,
        lambda tx: organisations.change(tx, caller, organisation_id, cmd.expected, body),
        changed,
    )
