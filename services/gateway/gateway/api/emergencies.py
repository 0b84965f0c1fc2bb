"""/v1/emergency-accesses."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now
from svckit.db import Read
from svckit.idempotency import Act, Create, Reply
from svckit.identity import Caller
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from gateway import domain
from gateway.actions import emergencies
from gateway.api.common import MayRead, MayWrite, after_of
from gateway.models import EmergencyAccess
from gateway.queries import emergencies as queries
from gateway.schemas import PageOut
from gateway.schemas.emergencies import EmergencyAccessIn, EmergencyAccessOut, ReviewIn

router = APIRouter(prefix="/v1/emergency-accesses", tags=["emergency accesses"])
Standing = Annotated[domain.Review | None, Query()]


@router.post("", status_code=201, response_model=EmergencyAccessOut, responses=PROBLEMS)
async def open_emergency_access(
    request: Request, body: EmergencyAccessIn, caller: MayWrite, cmd: Create
) -> Response:
    """Override a person's consent for four hours; the token's purpose is BTG or ETREAT."""
    address = request.client.host if request.client else ""
    return await cmd.run(
        caller, lambda tx: emergencies.open_access(tx, caller, body, address), _created
    )


@router.get("", response_model=PageOut[EmergencyAccessOut], responses=PROBLEMS)
async def list_emergency_accesses(
    caller: MayRead, session: Read, page: Paging, review: Standing = None
) -> Response:
    """List the accesses one had, and those to one's own records: the queue of reviews."""
    after = after_of(page, caller)
    rows = await queries.page(
        session, caller, review=review, after=after, limit=page.limit, at=now()
    )
    return page.reply(caller.organisation_id, rows, key=lambda row: [row.id], present=_body)


@router.get("/{access_id}", response_model=EmergencyAccessOut, responses=PROBLEMS)
async def get_emergency_access(access_id: str, caller: MayRead, session: Read) -> Response:
    """Read an emergency access."""
    row = await queries.get(session, caller, access_id)
    return Reply(_body(row), version=row.version).response()


@router.post("/{access_id}/end", response_model=EmergencyAccessOut, responses=PROBLEMS)
async def end_emergency_access(access_id: str, caller: MayWrite, cmd: Act) -> Response:
    """End an emergency access before its time."""
    return await cmd.run(
        caller, lambda tx: emergencies.end(tx, caller, access_id, cmd.expected), _changed
    )


@router.post("/{access_id}/review", response_model=EmergencyAccessOut, responses=PROBLEMS)
async def review_emergency_access(
    access_id: str, body: ReviewIn, caller: MayWrite, cmd: Create
) -> Response:
    """Say, as the custodian and once, whether an access was justified."""
    return await cmd.run(
        caller, lambda tx: emergencies.review(tx, caller, access_id, body), _changed
    )


def _body(row: EmergencyAccess) -> dict[str, Any]:
    standing = domain.review_of(row.outcome, row.review_due_at, now())
    values = {c.key: getattr(row, c.key) for c in EmergencyAccess.__mapper__.columns}
    return EmergencyAccessOut(**values, review=standing).model_dump(mode="json")


async def _created(_: AsyncSession, __: Caller, row: EmergencyAccess) -> Reply:
    return Reply(_body(row), 201, row.version, f"/v1/emergency-accesses/{row.id}")


async def _changed(_: AsyncSession, __: Caller, row: EmergencyAccess) -> Reply:
    return Reply(_body(row), version=row.version)
