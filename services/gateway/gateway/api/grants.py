"""/v1/grants."""

from fastapi import APIRouter, Response
from svckit.db import Read
from svckit.idempotency import Act, Create
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from gateway import queries
from gateway.actions import given
from gateway.api.common import (
    MayRead,
    MayWrite,
    OfPerson,
    after_of,
    changed,
    created,
    paged,
    shown,
)
from gateway.schemas import GrantOut, PageOut
from gateway.schemas.grants import GrantIn

router = APIRouter(prefix="/v1/grants", tags=["grants"])


@router.post("", status_code=201, response_model=GrantOut, responses=PROBLEMS)
async def give_grant(body: GrantIn, caller: MayWrite, cmd: Create) -> Response:
    """Open data of one's own to a recipient for treatment, or because the law asks for it."""
    return await cmd.run(caller, lambda tx: given.give(tx, caller, body), created("grants"))


@router.post("/{grant_id}/end", response_model=GrantOut, responses=PROBLEMS)
async def end_grant(grant_id: str, caller: MayWrite, cmd: Act) -> Response:
    """Take back what one gave: nothing is seen by it from now on."""
    return await cmd.run(
        caller, lambda tx: given.take_back(tx, caller, grant_id, cmd.expected), changed
    )


@router.get("", response_model=PageOut[GrantOut], responses=PROBLEMS)
async def list_grants(
    caller: MayRead, session: Read, page: Paging, person_id: OfPerson = None
) -> Response:
    """List the grants one gives and holds."""
    after = after_of(page, caller)
    rows = await queries.list_grants(session, caller, person_id, after, page.limit)
    return paged(page, caller, rows)


@router.get("/{grant_id}", response_model=GrantOut, responses=PROBLEMS)
async def get_grant(grant_id: str, caller: MayRead, session: Read) -> Response:
    """Read a grant."""
    return shown(await queries.get_grant(session, caller, grant_id))
