"""/v1/ledger/suspensions: what an accounting leaves out for a time (45 CFR 164.528(a)(2))."""

from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.db import Read
from svckit.idempotency import Create, Reply
from svckit.identity import Caller
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from gateway.actions import suspensions as actions
from gateway.api.common import MayWrite, OfPerson, after_of
from gateway.api.ledger import MayRead
from gateway.models import Suspension
from gateway.queries import suspensions as queries
from gateway.schemas import PageOut
from gateway.schemas.suspensions import SuspensionIn, SuspensionOut

router = APIRouter(prefix="/v1/ledger/suspensions", tags=["ledger"])


@router.post("", status_code=201, response_model=SuspensionOut, responses=PROBLEMS)
async def suspend_accounting(body: SuspensionIn, caller: MayWrite, cmd: Create) -> Response:
    """Record an agency's statement: what it was told is left out of accountings until its end."""
    return await cmd.run(caller, lambda tx: actions.suspend(tx, caller, body), _created)


@router.get("", response_model=PageOut[SuspensionOut], responses=PROBLEMS)
async def list_suspensions(
    caller: MayRead, session: Read, page: Paging, person_id: OfPerson = None
) -> Response:
    """List one's own suspensions, also those that are over, newest first."""
    after = after_of(page, caller)
    rows = await queries.list_suspensions(session, caller, person_id, after, page.limit)
    return page.reply(caller.organisation_id, rows, key=lambda row: [row.id], present=_shown)


async def _created(_: AsyncSession, __: Caller, row: Suspension) -> Reply:
    return Reply(_shown(row), 201)


def _shown(row: Suspension) -> dict[str, Any]:
    return SuspensionOut.model_validate(row).model_dump(mode="json")
