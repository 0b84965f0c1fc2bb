"""Needs and assessments of a case."""

from fastapi import APIRouter, Response
from svckit.db import Read
from svckit.idempotency import Act, Change, Create
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from case_svc import reply
from case_svc.actions import needs as actions
from case_svc.api.parts import AsOf, IdPath, MayRead, MayWrite, Text, one_of, page_of
from case_svc.domain.needs import NeedCategory, NeedCommand, NeedStatus
from case_svc.models import Assessment, Need
from case_svc.schemas.fields import ReasonIn
from case_svc.schemas.plan import (
    AssessmentIn,
    AssessmentOut,
    AssessmentPage,
    NeedIn,
    NeedOut,
    NeedPage,
    NeedPatch,
)

router = APIRouter(prefix="/v1/cases/{case_id}", tags=["needs"], responses=PROBLEMS)


@router.get("/needs", response_model=NeedPage)
async def list_needs(
    case_id: IdPath,
    caller: MayRead,
    session: Read,
    page: Paging,
    *,
    as_of: AsOf,
    status: NeedStatus | None = None,
    category: NeedCategory | None = None,
) -> Response:
    """List the needs of the case."""
    wanted = {"status": status, "category": category}
    return await page_of(session, caller, page, Need, case_id, as_of=as_of, **wanted)


@router.post("/needs", status_code=201, response_model=NeedOut)
async def identify_need(case_id: IdPath, body: NeedIn, caller: MayWrite, cmd: Create) -> Response:
    """Identify a need."""
    return await cmd.run(
        caller,
        lambda tx: actions.identify(tx, caller, case_id, body),
        reply.created(reply.of_row),
    )


@router.get("/needs/{need_id}", response_model=NeedOut)
async def get_need(
    case_id: IdPath, need_id: IdPath, caller: MayRead, session: Read, as_of: AsOf
) -> Response:
    """Return one need."""
    return await one_of(session, caller, Need, case_id, need_id, as_of=as_of)


@router.patch("/needs/{need_id}", response_model=NeedOut)
async def change_need(
    case_id: IdPath, need_id: IdPath, body: NeedPatch, caller: MayWrite, cmd: Change
) -> Response:
    """Change what describes a need."""
    return await cmd.run(
        caller,
        lambda tx: actions.change(tx, caller, case_id, need_id, body, expected=cmd.expected),
        reply.of_row,
    )


@router.post("/needs/{need_id}/start", response_model=NeedOut)
async def start_need(case_id: IdPath, need_id: IdPath, caller: MayWrite, cmd: Act) -> Response:
    """Say that help for the need is under way."""
    return await _move(case_id, need_id, NeedCommand.START, caller, cmd)


@router.post("/needs/{need_id}/meet", response_model=NeedOut)
async def meet_need(case_id: IdPath, need_id: IdPath, caller: MayWrite, cmd: Act) -> Response:
    """Say that the need is met."""
    return await _move(case_id, need_id, NeedCommand.MEET, caller, cmd)


@router.post("/needs/{need_id}/reopen", response_model=NeedOut)
async def reopen_need(
    case_id: IdPath, need_id: IdPath, body: ReasonIn, caller: MayWrite, cmd: Act
) -> Response:
    """Say that the need is open after all."""
    return await _move(case_id, need_id, NeedCommand.REOPEN, caller, cmd, reason=body.reason)


@router.post("/needs/{need_id}/withdraw", response_model=NeedOut)
async def withdraw_need(
    case_id: IdPath, need_id: IdPath, body: ReasonIn, caller: MayWrite, cmd: Act
) -> Response:
    """Say that it is no need."""
    return await _move(case_id, need_id, NeedCommand.WITHDRAW, caller, cmd, reason=body.reason)


@router.get("/assessments", response_model=AssessmentPage)
async def list_assessments(
    case_id: IdPath,
    caller: MayRead,
    session: Read,
    page: Paging,
    *,
    as_of: AsOf,
    instrument: Text = None,
) -> Response:
    """List the assessments of the case; each tells what has changed since the one before."""
    return await page_of(
        session, caller, page, Assessment, case_id, as_of=as_of, instrument=instrument
    )


@router.post("/assessments", status_code=201, response_model=AssessmentOut)
async def assess(case_id: IdPath, body: AssessmentIn, caller: MayWrite, cmd: Create) -> Response:
    """Record a screening: answers are labelled, findings derived, needs opened by rule."""
    return await cmd.run(
        caller, lambda tx: actions.assess(tx, caller, case_id, body), reply.created(reply.of_row)
    )


@router.get("/assessments/{assessment_id}", response_model=AssessmentOut)
async def get_assessment(
    case_id: IdPath, assessment_id: IdPath, caller: MayRead, session: Read, as_of: AsOf
) -> Response:
    """Return one assessment."""
    return await one_of(session, caller, Assessment, case_id, assessment_id, as_of=as_of)


async def _move(
    case_id: str,
    need_id: str,
    command: NeedCommand,
    caller: MayWrite,
    cmd: Act,
    *,
    reason: str | None = None,
) -> Response:
    return await cmd.run(
        caller,
        lambda tx: actions.move(
            tx, caller, case_id, need_id, command, expected=cmd.expected, reason=reason
        ),
        reply.of_row,
    )
