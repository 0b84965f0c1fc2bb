"""Case types."""

from typing import Literal

from fastapi import APIRouter, Response
from svckit.db import Read
from svckit.idempotency import Act, Create
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from case_svc import reply
from case_svc.actions import types as actions
from case_svc.api.parts import IdPath, MayRead, MayWrite, Text, last
from case_svc.domain.cases import TypeStatus
from case_svc.queries import types
from case_svc.schemas.cases import CaseTypeIn, CaseTypeOut, CaseTypePage

router = APIRouter(prefix="/v1/case-types", tags=["case types"], responses=PROBLEMS)


@router.post("", status_code=201, response_model=CaseTypeOut)
async def draft_case_type(body: CaseTypeIn, caller: MayWrite, cmd: Create) -> Response:
    """Add an edition of a case type."""
    return await cmd.run(
        caller, lambda tx: actions.draft(tx, caller, body), reply.created(reply.of_type)
    )


@router.get("", response_model=CaseTypePage)
async def list_case_types(
    caller: MayRead,
    session: Read,
    page: Paging,
    code: Text = None,
    status: TypeStatus | None = None,
) -> Response:
    """List the organisation's case types and the network's."""
    found = await types.list_types(
        session,
        caller,
        code=code,
        status=status,
        after=last(page, caller),
        limit=page.limit + 1,
    )
    return page.reply(
        caller.organisation_id, found, key=lambda each: [each.id], present=reply.case_type
    )


@router.get("/{type_id}", response_model=CaseTypeOut)
async def get_case_type(type_id: IdPath, caller: MayRead, session: Read) -> Response:
    """Return one case type."""
    found = await types.get_type(session, caller, type_id)
    return reply.tagged(reply.case_type(found), found.version)


@router.post("/{type_id}/{command}", response_model=CaseTypeOut)
async def move_case_type(
    type_id: IdPath, command: Literal["publish", "retire"], caller: MayWrite, cmd: Act
) -> Response:
    """Publish or retire an edition of one's own."""
    return await cmd.run(
        caller,
        lambda tx: actions.move(tx, caller, type_id, command, cmd.expected),
        reply.of_type,
    )
