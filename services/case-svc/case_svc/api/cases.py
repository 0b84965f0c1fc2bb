"""Cases: opened, listed, counted, moved."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime
from svckit.db import Read
from svckit.idempotency import Act, Change, Create
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from case_svc import reply
from case_svc.actions import cases as actions
from case_svc.actions import people, phases
from case_svc.api.parts import AsOf, IdPath, IdQuery, MayRead, MayWrite, Text, last
from case_svc.domain.cases import CaseStatus, Command, Phase
from case_svc.domain.needs import NeedCategory
from case_svc.queries import cases, history, rows
from case_svc.queries.cases import CaseFilter
from case_svc.schemas.cases import (
    CaseIn,
    CaseOut,
    CasePage,
    CasePatch,
    CasePhasePage,
    CloseIn,
    CountOut,
    HandOverIn,
    PhaseIn,
)
from case_svc.schemas.fields import ReasonIn
from case_svc.schemas.work import TimelinePage

router = APIRouter(prefix="/v1/cases", tags=["cases"], responses=PROBLEMS)


async def _filter(
    *,
    status: CaseStatus | None = None,
    phase: Phase | None = None,
    person_id: IdQuery = None,
    need: NeedCategory | None = None,
    worker: Text = None,
    number: Text = None,
    custodian_id: IdQuery = None,
    opened_since: AwareDatetime | None = None,
    updated_since: Annotated[AwareDatetime | None, Query()] = None,
) -> CaseFilter:
    """Filters on a field match only where the caller sees the field."""
    return CaseFilter(
        status=status,
        phase=phase,
        person_id=person_id,
        need=need,
        worker=worker,
        number=number,
        custodian_id=custodian_id,
        opened_since=opened_since,
        updated_since=updated_since,
    )


Filter = Annotated[CaseFilter, Depends(_filter)]


@router.post("", status_code=201, response_model=CaseOut)
async def open_case(body: CaseIn, caller: MayWrite, cmd: Create) -> Response:
    """Open a case in intake."""
    return await cmd.run(
        caller, lambda tx: actions.open_case(tx, caller, body), reply.created(reply.of_case)
    )


@router.get("", response_model=CasePage)
async def list_cases(caller: MayRead, session: Read, page: Paging, wanted: Filter) -> Response:
    """List the cases the caller sees, newest first."""
    found = await cases.list_cases(session, caller, wanted, last(page, caller), page.limit + 1)
    return page.reply(
        caller.organisation_id, found, key=lambda seen: [seen.row.id], present=reply.case
    )


@router.get("/count", response_model=CountOut)
async def count_cases(caller: MayRead, session: Read, wanted: Filter) -> Response:
    """Count the cases the list would hold."""
    return reply.plain({"count": await cases.count_cases(session, caller, wanted)})


@router.get("/{case_id}", response_model=CaseOut)
async def get_case(case_id: IdPath, caller: MayRead, session: Read, as_of: AsOf) -> Response:
    """Return the case with the counts of its rows that the caller sees; as it was, no ETag."""
    if as_of:
        then = await history.get_case(session, caller, case_id, as_of)
        counted = await history.count_rows(session, caller, case_id, as_of)
        return reply.plain(reply.case(then, counted))
    seen, counts = await cases.get_counted(session, caller, case_id)
    return reply.tagged(reply.case(seen, counts), seen.row.version)


@router.patch("/{case_id}", response_model=CaseOut)
async def change_case(case_id: IdPath, body: CasePatch, caller: MayWrite, cmd: Change) -> Response:
    """Change what describes the case."""
    return await cmd.run(
        caller,
        lambda tx: actions.change(tx, caller, case_id, body, cmd.expected),
        reply.of_case,
    )


@router.post("/{case_id}/activate", response_model=CaseOut)
async def activate_case(case_id: IdPath, caller: MayWrite, cmd: Act) -> Response:
    """Take the case from intake into work."""
    return await _move(case_id, Command.ACTIVATE, caller, cmd)


@router.post("/{case_id}/suspend", response_model=CaseOut)
async def suspend_case(case_id: IdPath, body: ReasonIn, caller: MayWrite, cmd: Act) -> Response:
    """Rest the case for a reason."""
    return await _move(case_id, Command.SUSPEND, caller, cmd, body.reason)


@router.post("/{case_id}/resume", response_model=CaseOut)
async def resume_case(case_id: IdPath, caller: MayWrite, cmd: Act) -> Response:
    """Take the case up again."""
    return await _move(case_id, Command.RESUME, caller, cmd)


@router.post("/{case_id}/close", response_model=CaseOut)
async def close_case(case_id: IdPath, body: CloseIn, caller: MayWrite, cmd: Act) -> Response:
    """Close the case with its outcome."""
    return await cmd.run(
        caller,
        lambda tx: actions.close(tx, caller, case_id, body, cmd.expected),
        reply.of_case,
    )


@router.post("/{case_id}/reopen", response_model=CaseOut)
async def reopen_case(case_id: IdPath, body: ReasonIn, caller: MayWrite, cmd: Act) -> Response:
    """Begin a new cycle of a closed case."""
    return await _move(case_id, Command.REOPEN, caller, cmd, body.reason)


@router.post("/{case_id}/enter-phase", response_model=CaseOut)
async def enter_phase(case_id: IdPath, body: PhaseIn, caller: MayWrite, cmd: Act) -> Response:
    """Enter a phase, again or for the first time."""
    return await cmd.run(
        caller,
        lambda tx: phases.enter(tx, caller, case_id, body.phase, cmd.expected),
        reply.of_case,
    )


@router.post("/{case_id}/hand-over", response_model=CaseOut)
async def hand_over(case_id: IdPath, body: HandOverIn, caller: MayWrite, cmd: Act) -> Response:
    """Name who answers for the case from now on."""
    return await cmd.run(
        caller,
        lambda tx: people.hand_over(tx, caller, case_id, body, cmd.expected),
        reply.of_case,
    )


@router.get("/{case_id}/phases", response_model=CasePhasePage)
async def list_phases(case_id: IdPath, caller: MayRead, session: Read, as_of: AsOf) -> Response:
    """Return every stay in a phase, in order, with its cycle; nothing without coordination."""
    seen = await history.find_case(session, caller, case_id, as_of)
    stays = await history.list_phases(session, seen, as_of)
    return reply.plain(reply.phases(seen, stays))


@router.get("/{case_id}/timeline", response_model=TimelinePage)
async def timeline(
    case_id: IdPath, caller: MayRead, session: Read, page: Paging, as_of: AsOf
) -> Response:
    """Return what happened to the case that the caller may learn of, newest first."""
    if as_of:
        await history.get_case(session, caller, case_id, as_of)
    found = await rows.list_timeline(
        session, caller, case_id, after=last(page, caller), limit=page.limit + 1, as_of=as_of
    )
    return page.reply(
        caller.organisation_id,
        found,
        key=lambda seen: [seen.row.id],
        present=await reply.presenter(session, caller, found),
    )


async def _move(
    case_id: str, command: Command, caller: MayWrite, cmd: Act, reason: str | None = None
) -> Response:
    return await cmd.run(
        caller,
        lambda tx: actions.move(tx, caller, case_id, command, expected=cmd.expected, reason=reason),
        reply.of_case,
    )
