"""Parties, the care team and external numbers of a case."""

from fastapi import APIRouter, Response
from svckit.db import Read
from svckit.idempotency import Act, Create
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from case_svc import reply
from case_svc.actions import people as actions
from case_svc.api.parts import AsOf, Config, IdPath, MayRead, MayWrite, one_of, page_of
from case_svc.models import ExternalNumber, Party, TeamMember
from case_svc.schemas.people import (
    EndIn,
    MemberIn,
    MemberOut,
    MemberPage,
    NumberIn,
    NumberOut,
    NumberPage,
    PartyIn,
    PartyOut,
    PartyPage,
)

router = APIRouter(prefix="/v1/cases/{case_id}", tags=["people"], responses=PROBLEMS)


@router.get("/parties", response_model=PartyPage)
async def list_parties(
    case_id: IdPath, caller: MayRead, session: Read, page: Paging, as_of: AsOf
) -> Response:
    """List who has a role in the case."""
    return await page_of(session, caller, page, Party, case_id, as_of=as_of)


@router.post("/parties", status_code=201, response_model=PartyOut)
async def add_party(case_id: IdPath, body: PartyIn, caller: MayWrite, cmd: Create) -> Response:
    """Give somebody a role in the case."""
    return await cmd.run(
        caller,
        lambda tx: actions.add_party(tx, caller, case_id, body),
        reply.created(reply.of_row),
    )


@router.get("/parties/{party_id}", response_model=PartyOut)
async def get_party(
    case_id: IdPath, party_id: IdPath, caller: MayRead, session: Read, as_of: AsOf
) -> Response:
    """Return one party."""
    return await one_of(session, caller, Party, case_id, party_id, as_of=as_of)


@router.post("/parties/{party_id}/end", response_model=PartyOut)
async def end_party(
    case_id: IdPath, party_id: IdPath, body: EndIn, caller: MayWrite, cmd: Act
) -> Response:
    """End a role."""
    return await cmd.run(
        caller,
        lambda tx: actions.end_party(tx, caller, case_id, party_id, body.on, expected=cmd.expected),
        reply.of_row,
    )


@router.get("/care-team", response_model=MemberPage)
async def list_care_team(
    case_id: IdPath, caller: MayRead, session: Read, page: Paging, as_of: AsOf
) -> Response:
    """List the organisations in the care team, also those that have left."""
    return await page_of(session, caller, page, TeamMember, case_id, as_of=as_of)


@router.post("/care-team", status_code=201, response_model=MemberOut)
async def join_care_team(
    case_id: IdPath, body: MemberIn, caller: MayWrite, cmd: Create, config: Config
) -> Response:
    """Let an organisation into the care team."""
    return await cmd.run(
        caller,
        lambda tx: actions.join(tx, caller, case_id, body, config.replica_wait_s),
        reply.created(reply.of_row),
    )


@router.get("/care-team/{member_id}", response_model=MemberOut)
async def get_member(
    case_id: IdPath, member_id: IdPath, caller: MayRead, session: Read, as_of: AsOf
) -> Response:
    """Return one place in the care team."""
    return await one_of(session, caller, TeamMember, case_id, member_id, as_of=as_of)


@router.post("/care-team/{member_id}/leave", response_model=MemberOut)
async def leave_care_team(
    case_id: IdPath, member_id: IdPath, caller: MayWrite, cmd: Act
) -> Response:
    """Take an organisation out of the care team."""
    return await cmd.run(
        caller,
        lambda tx: actions.leave(tx, caller, case_id, member_id, cmd.expected),
        reply.of_row,
    )


@router.get("/numbers", response_model=NumberPage)
async def list_numbers(
    case_id: IdPath, caller: MayRead, session: Read, page: Paging, as_of: AsOf
) -> Response:
    """List the numbers others know the case by."""
    return await page_of(session, caller, page, ExternalNumber, case_id, as_of=as_of)


@router.post("/numbers", status_code=201, response_model=NumberOut)
async def number_case(case_id: IdPath, body: NumberIn, caller: MayWrite, cmd: Create) -> Response:
    """Record the caller's own number of the case."""
    return await cmd.run(
        caller,
        lambda tx: actions.number_case(tx, caller, case_id, body),
        reply.created(reply.of_row),
    )


@router.get("/numbers/{number_id}", response_model=NumberOut)
async def get_number(
    case_id: IdPath, number_id: IdPath, caller: MayRead, session: Read, as_of: AsOf
) -> Response:
    """Return one external number."""
    return await one_of(session, caller, ExternalNumber, case_id, number_id, as_of=as_of)
