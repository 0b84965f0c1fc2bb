"""/v1/agreements/drafts: agreements as reviewed data."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.db import Read
from svckit.idempotency import Create, Reply
from svckit.identity import Caller
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from gateway import domain
from gateway.actions import agreements
from gateway.api import written
from gateway.api.common import Admin, after_of, changed
from gateway.api.shares import diff_body
from gateway.models import Agreement, AgreementVersion
from gateway.queries import drafts
from gateway.schemas import AgreementOut, AnyId, PageOut
from gateway.schemas.access import DiffOut, DraftIn, DraftOut, PublishIn

router = APIRouter(prefix="/v1/agreements/drafts", tags=["agreements"])
Stage = Annotated[domain.Stage | None, Query()]
OfAgreement = Annotated[AnyId | None, Query()]
_BODY = written.described(DraftIn.model_json_schema())


async def _written(request: Request) -> DraftIn:
    return await written.read(request, DraftIn)


Written = Annotated[DraftIn, Depends(_written)]


@router.post("", status_code=201, response_model=DraftOut, responses=PROBLEMS, openapi_extra=_BODY)
async def draft_agreement(caller: Admin, cmd: Create, body: Written) -> Response:
    """Keep what an agreement may come to say, as JSON or YAML; it has no effect yet."""
    return await cmd.run(
        caller, lambda tx: agreements.draft(tx, caller, body, body.agreement_id), _created
    )


@router.get("", response_model=PageOut[DraftOut], responses=PROBLEMS)
async def list_drafts(
    caller: Admin,
    session: Read,
    page: Paging,
    stage: Stage = None,
    agreement_id: OfAgreement = None,
) -> Response:
    """List drafts and what became of them; of one agreement, its history."""
    rows = await drafts.page(session, stage, agreement_id, after_of(page, caller), page.limit)
    return page.reply(caller.organisation_id, rows, key=lambda row: [row.id], present=_body)


@router.get("/{draft_id}", response_model=DraftOut, responses=PROBLEMS)
async def get_draft(draft_id: str, _: Admin, session: Read) -> Response:
    """Read a draft."""
    row = await drafts.get(session, draft_id)
    return Reply(_body(row), version=row.version).response()


@router.post("/{draft_id}/simulate", response_model=DiffOut, responses=PROBLEMS)
async def simulate_draft(draft_id: str, request: Request, caller: Admin) -> Response:
    """Say who would gain and lose what if the draft were published now; nothing is changed."""
    async with request.app.state.db.begin() as tx:
        row = await drafts.get(tx, draft_id)
        found = await agreements.simulate(tx, caller, row)
    return Reply(diff_body(found)).response()


@router.post("/{draft_id}/publish", response_model=AgreementOut, responses=PROBLEMS)
async def publish_draft(draft_id: str, body: PublishIn, caller: Admin, cmd: Create) -> Response:
    """Put the draft in force, if the difference it makes is the one that was seen."""

    async def publish(tx: AsyncSession) -> Agreement:
        row = await drafts.get(tx, draft_id, lock=True)
        return await agreements.publish(tx, caller, row, body.diff)

    return await cmd.run(caller, publish, changed)


def _body(row: AgreementVersion) -> dict[str, Any]:
    return DraftOut.model_validate(row).model_dump(mode="json")


async def _created(_: AsyncSession, __: Caller, row: AgreementVersion) -> Reply:
    return Reply(_body(row), 201, row.version, f"/v1/agreements/drafts/{row.id}")
