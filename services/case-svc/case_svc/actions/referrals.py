"""What a referral's events do to the case: the need's status, its goals, the timeline."""

from collections.abc import Mapping
from typing import Any

from sharing.classes import mask_of
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now

from case_svc import events
from case_svc.actions.authority import touch
from case_svc.actions.needs import set_status
from case_svc.actions.plan import goal_change
from case_svc.domain.needs import after_referral
from case_svc.domain.plan import achievement_after
from case_svc.models import CaseFile, Goal, ReferralState
from case_svc.queries import cases, plan


async def note(tx: AsyncSession, happened: str, data: Mapping[str, Any]) -> None:
    """Enter on the timeline what happened to a referral of a case, and nothing else."""
    file = await cases.find_case(tx, data["case_id"]) if data["case_id"] else None
    if file:
        await _enter(tx, file, happened, data)


async def follow(tx: AsyncSession, verb: str, data: Mapping[str, Any]) -> None:
    """Follow a referral: note it, and let the need it was made for follow.

    A referral completed with the need met meets it; one that ended without help leaves it open.
    """
    file = await cases.find_case(tx, data["case_id"]) if data["case_id"] else None
    if file is None:
        return
    await _enter(tx, file, f"referral.{verb}", data)
    change = data["change"]
    need_id = await _remember(tx, file, verb, data)
    need = await plan.find_need(tx, file.id, need_id) if need_id else None
    if need is None:
        return
    others = await plan.others_under_way(tx, need.id, data["id"])
    status = after_referral(need.status, verb, change.get("need_met"), others_under_way=others)
    if status is not need.status:
        set_status(need, status, None)
        told = {"referral_id": data["id"], "category": need.category, "status": status}
        await events.of_row(tx, None, file, "need.changed", need, told)
    if verb == "completed":
        met = change.get("need_met") == "yes"
        for goal in await plan.goals_of(tx, file.id, need.id):
            await _achieve(tx, file, goal, met=met)


async def _remember(
    tx: AsyncSession, file: CaseFile, verb: str, data: Mapping[str, Any]
) -> str | None:
    """Keep the referral's last state; return the need it was made for, found once."""
    change = data["change"]
    known = await tx.get(ReferralState, data["id"])  # unscoped: an event asks, no caller
    need_id = known.need_id if known else change.get("need_id")
    if need_id is None:
        need_id = (await plan.unmet_needs(tx, file.id)).get(change["need_category"])
    values = {
        "referral_id": data["id"],
        "case_id": file.id,
        "need_id": need_id,
        "category": change["need_category"],
        "status": verb,
        "need_met": change.get("need_met"),
    }
    statement = insert(ReferralState).values(values)
    await tx.execute(statement.on_conflict_do_update(index_elements=["referral_id"], set_=values))
    return need_id


async def _achieve(tx: AsyncSession, file: CaseFile, goal: Goal, *, met: bool) -> None:
    achievement = achievement_after(goal.achievement_status, met=met)
    if achievement is goal.achievement_status:
        return
    goal.achievement_status, goal.status_on = achievement, now().date()
    touch(goal)
    await events.of_row(tx, None, file, "goal.changed", goal, goal_change(goal))


async def _enter(tx: AsyncSession, file: CaseFile, happened: str, data: Mapping[str, Any]) -> None:
    await events.add_entry(tx, file, happened, data, classes=int(mask_of(data["classes"])))
