"""Goals and activities of a case."""

from fastapi import APIRouter, Response
from svckit.db import Read
from svckit.idempotency import Change, Create
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from case_svc import reply
from case_svc.actions import plan as actions
from case_svc.api.parts import AsOf, IdPath, MayRead, MayWrite, one_of, page_of
from case_svc.models import Activity, Goal
from case_svc.schemas.plan import (
    ActivityIn,
    ActivityOut,
    ActivityPage,
    ActivityPatch,
    GoalIn,
    GoalOut,
    GoalPage,
    GoalPatch,
)

router = APIRouter(prefix="/v1/cases/{case_id}", tags=["plan"], responses=PROBLEMS)


@router.get("/goals", response_model=GoalPage)
async def list_goals(
    case_id: IdPath, caller: MayRead, session: Read, page: Paging, as_of: AsOf
) -> Response:
    """List the goals of the case."""
    return await page_of(session, caller, page, Goal, case_id, as_of=as_of)


@router.post("/goals", status_code=201, response_model=GoalOut)
async def set_goal(case_id: IdPath, body: GoalIn, caller: MayWrite, cmd: Create) -> Response:
    """Set a goal."""
    return await cmd.run(
        caller, lambda tx: actions.set_goal(tx, caller, case_id, body), reply.created(reply.of_row)
    )


@router.get("/goals/{goal_id}", response_model=GoalOut)
async def get_goal(
    case_id: IdPath, goal_id: IdPath, caller: MayRead, session: Read, as_of: AsOf
) -> Response:
    """Return one goal."""
    return await one_of(session, caller, Goal, case_id, goal_id, as_of=as_of)


@router.patch("/goals/{goal_id}", response_model=GoalOut)
async def change_goal(
    case_id: IdPath, goal_id: IdPath, body: GoalPatch, caller: MayWrite, cmd: Change
) -> Response:
    """Change a goal, its life cycle or its achievement."""
    return await cmd.run(
        caller,
        lambda tx: actions.change_goal(tx, caller, case_id, goal_id, body, expected=cmd.expected),
        reply.of_row,
    )


@router.get("/activities", response_model=ActivityPage)
async def list_activities(
    case_id: IdPath, caller: MayRead, session: Read, page: Paging, as_of: AsOf
) -> Response:
    """List the activities of the plan."""
    return await page_of(session, caller, page, Activity, case_id, as_of=as_of)


@router.post("/activities", status_code=201, response_model=ActivityOut)
async def plan_activity(
    case_id: IdPath, body: ActivityIn, caller: MayWrite, cmd: Create
) -> Response:
    """Plan an activity."""
    return await cmd.run(
        caller,
        lambda tx: actions.plan_activity(tx, caller, case_id, body),
        reply.created(reply.of_row),
    )


@router.get("/activities/{activity_id}", response_model=ActivityOut)
async def get_activity(
    case_id: IdPath, activity_id: IdPath, caller: MayRead, session: Read, as_of: AsOf
) -> Response:
    """Return one activity."""
    return await one_of(session, caller, Activity, case_id, activity_id, as_of=as_of)


@router.patch("/activities/{activity_id}", response_model=ActivityOut)
async def change_activity(
    case_id: IdPath, activity_id: IdPath, body: ActivityPatch, caller: MayWrite, cmd: Change
) -> Response:
    """Change an activity or its status."""
    return await cmd.run(
        caller,
        lambda tx: actions.change_activity(
            tx, caller, case_id, activity_id, body, expected=cmd.expected
        ),
        reply.of_row,
    )
