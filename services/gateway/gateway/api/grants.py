"""/v1/grants."""

from fastapi import APIRouter, Response
from svckit.db import Read
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from gateway import queries
from gateway.api.common import MayRead, OfPerson, after_of, paged, shown
from gateway.schemas import GrantOut, PageOut

router = APIRouter(prefix="/v1/grants", tags=["grants"])


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
