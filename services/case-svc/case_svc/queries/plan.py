"""What rules ask of the plan: the needs still unmet, the last assessment, a need's goals."""

from collections.abc import Sequence

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from case_svc.domain.needs import UNDER_WAY, NeedStatus
from case_svc.domain.plan import GoalStatus
from case_svc.models import Assessment, Goal, Need, ReferralState
from case_svc.models.base import InCase

UNMET = (NeedStatus.OPEN, NeedStatus.IN_PROGRESS)


async def unmet_needs(tx: AsyncSession, case_id: str) -> dict[str, str]:
    """Return the id of the oldest unmet need of each category of the case."""
    statement = (
        select(Need.category, Need.id)
        .where(Need.case_id == case_id, Need.status.in_(UNMET))
        .order_by(Need.id.desc())
    )
    return {str(category): need for category, need in (await tx.execute(statement))}


async def find_need(tx: AsyncSession, case_id: str, need_id: str) -> Need | None:
    """Return the need of a case that is locked."""
    statement = select(Need).where(Need.case_id == case_id, Need.id == need_id)
    return await tx.scalar(statement.execution_options(populate_existing=True))


async def last_assessment(tx: AsyncSession, case_id: str, instrument: str) -> Assessment | None:
    """Return the case's newest assessment with the instrument."""
    statement = (
        select(Assessment)
        .where(Assessment.case_id == case_id, Assessment.instrument == instrument)
        .order_by(Assessment.performed_at.desc(), Assessment.id.desc())
        .limit(1)
    )
    return await tx.scalar(statement)


async def goals_of(tx: AsyncSession, case_id: str, need_id: str) -> Sequence[Goal]:
    """Return the goals under way for a need."""
    statement = select(Goal).where(
        Goal.case_id == case_id,
        Goal.need_id == need_id,
        Goal.lifecycle_status.in_([GoalStatus.ACCEPTED, GoalStatus.ACTIVE, GoalStatus.ON_HOLD]),
    )
    return (await tx.scalars(statement.order_by(Goal.id))).all()


async def is_row(tx: AsyncSession, model: type[InCase], case_id: str, row_id: str) -> bool:
    """Tell whether the case has such a row."""
    found = exists().where(model.case_id == case_id, model.id == row_id)
    return bool(await tx.scalar(select(found)))


async def others_under_way(tx: AsyncSession, need_id: str, referral_id: str) -> bool:
    """Tell whether another referral for the need is accepted and not ended."""
    found = exists().where(
        ReferralState.need_id == need_id,
        ReferralState.referral_id != referral_id,
        ReferralState.status.in_(sorted(UNDER_WAY)),
    )
    return bool(await tx.scalar(select(found)))
