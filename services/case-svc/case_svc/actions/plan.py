"""Goals and activities: the case's plan."""

from collections.abc import Mapping
from typing import Any

from sharing import DataClass
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now
from svckit.errors import FieldError, Invalid
from svckit.idempotency import check_version
from svckit.identity import Caller

from case_svc import events
from case_svc.actions.authority import (
    in_case,
    require_author,
    require_contributor,
    require_custodian,
    touch,
)
from case_svc.domain import plan as rules
from case_svc.domain.cases import require_open
from case_svc.domain.plan import ActivityStatus
from case_svc.models import Activity, CaseFile, Goal, Need
from case_svc.models.base import InCase
from case_svc.queries import cases, people, plan, rows
from case_svc.schemas.plan import ActivityIn, ActivityPatch, GoalIn, GoalPatch


async def set_goal(tx: AsyncSession, caller: Caller, case_id: str, body: GoalIn) -> Goal:
    """Add a goal to the case. Raises NotFound, CaseClosed, Invalid."""
    file = (await cases.lock_case(tx, caller, case_id)).row
    require_custodian(file, caller)
    require_open(file.status)
    await _known(tx, file, Need, "need_id", body.need_id)
    if body.lifecycle_status not in rules.GOAL_STARTS:
        raise Invalid(
            "A goal does not begin in this status.",
            errors=[FieldError("#/lifecycle_status", "not-a-start", "Not a beginning.")],
        )
    goal = Goal(
        **in_case("gol", caller, file, DataClass.PLAN),
        **_columns(body.model_dump(), body.model_dump(mode="json"), "coding"),
        status_on=now().date(),
    )
    tx.add(goal)
    await events.of_row(tx, caller, file, "goal.set", goal, goal_change(goal))
    return goal


async def change_goal(
    tx: AsyncSession, caller: Caller, case_id: str, goal_id: str, body: GoalPatch, *, expected: int
) -> Goal:
    """Change a goal. Raises NotFound, PreconditionFailed, InvalidTransition."""
    file = (await cases.lock_case(tx, caller, case_id)).row
    require_custodian(file, caller)
    goal = (await rows.row_of(tx, caller, Goal, file, goal_id)).row
    check_version(goal.version, expected)
    changed = body.model_dump(exclude_unset=True)
    before = goal.lifecycle_status, goal.achievement_status
    if "lifecycle_status" in changed:
        rules.move_goal(goal.lifecycle_status, body.lifecycle_status)
    _set(goal, changed)
    if before != (goal.lifecycle_status, goal.achievement_status):
        goal.status_on = now().date()
    touch(goal)
    await events.of_row(tx, caller, file, "goal.changed", goal, goal_change(goal))
    return goal


async def plan_activity(
    tx: AsyncSession, caller: Caller, case_id: str, body: ActivityIn
) -> Activity:
    """Plan an activity for an organisation on the case, the caller's own unless another is named.

    Raises NotFound, CaseClosed, Invalid.
    """
    seen = await cases.lock_case(tx, caller, case_id)
    require_contributor(seen, caller)
    file = seen.row
    require_open(file.status)
    await _known(tx, file, Goal, "goal_id", body.goal_id)
    owner = body.organisation_id or caller.organisation_id
    await require_on_case(tx, file, owner)
    activity = Activity(
        **in_case("act", caller, file, DataClass.PLAN),
        **{**body.model_dump(), "organisation_id": owner, "status": ActivityStatus(body.status)},
    )
    tx.add(activity)
    await events.of_row(tx, caller, file, "activity.planned", activity, _activity(activity))
    return activity


async def change_activity(
    tx: AsyncSession,
    caller: Caller,
    case_id: str,
    activity_id: str,
    body: ActivityPatch,
    *,
    expected: int,
) -> Activity:
    """Change an activity: its author, its owner or the case's custodian may.

    Raises NotFound, PreconditionFailed, InvalidTransition.
    """
    file = (await cases.lock_case(tx, caller, case_id)).row
    activity = (await rows.row_of(tx, caller, Activity, file, activity_id)).row
    if caller.organisation_id != activity.organisation_id:
        require_author(activity, file, caller)
    check_version(activity.version, expected)
    changed = body.model_dump(exclude_unset=True)
    if "status" in changed:
        rules.move_activity(activity.status, body.status)
    _set(activity, changed)
    touch(activity)
    await events.of_row(tx, caller, file, "activity.changed", activity, _activity(activity))
    return activity


async def require_on_case(tx: AsyncSession, file: CaseFile, organisation_id: str) -> None:
    """Raises Invalid unless work on the case may be given to the organisation."""
    if not await people.is_on_case(tx, file.id, organisation_id):
        code = "organisation-not-on-case"
        raise Invalid(
            "The organisation has nothing to do with the case.",
            code=code,
            errors=[FieldError("#/organisation_id", code, "Let it join the care team first.")],
        )


def goal_change(goal: Goal) -> dict[str, Any]:
    """Return what the events of a goal tell."""
    return {
        "need_id": goal.need_id,
        "lifecycle_status": goal.lifecycle_status,
        "achievement_status": goal.achievement_status,
    }


def _activity(activity: Activity) -> dict[str, Any]:
    return {
        "goal_id": activity.goal_id,
        "organisation_id": activity.organisation_id,
        "status": activity.status,
    }


async def _known(
    tx: AsyncSession, file: CaseFile, model: type[InCase], field: str, row_id: str | None
) -> None:
    if row_id is not None and not await plan.is_row(tx, model, file.id, row_id):
        raise Invalid(
            "The case has no such row.",
            errors=[FieldError(f"#/{field}", "unknown", "Not of this case.")],
        )


def _columns(
    values: Mapping[str, Any], as_json: Mapping[str, Any], *json_fields: str
) -> dict[str, Any]:
    return {**values, **{name: as_json[name] for name in json_fields}}


def _set(row: InCase, changed: Mapping[str, Any]) -> None:
    for name, value in changed.items():
        setattr(row, name, value)
