"""Facts about organisations on a case that rules ask for."""

from sharing.tables import organisation
from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from case_svc.models import CaseReader, TeamMember


async def is_in_team(tx: AsyncSession, case_id: str, organisation_id: str) -> bool:
    """Tell whether the organisation is in the case's care team now."""
    member = exists().where(
        TeamMember.case_id == case_id,
        TeamMember.organisation_id == organisation_id,
        TeamMember.left_on.is_(None),
    )
    return bool(await tx.scalar(select(member)))


async def is_known(tx: AsyncSession, organisation_id: str) -> bool:
    """Tell whether the network has such an organisation."""
    found = exists().where(organisation.c.id == organisation_id)
    return bool(await tx.scalar(select(found)))


async def is_on_case(tx: AsyncSession, case_id: str, organisation_id: str) -> bool:
    """Tell whether work on the case may be given to the organisation.

    It can find the case, or has just joined the care team and its grant is on the way.
    """
    found = exists().where(
        CaseReader.case_id == case_id, CaseReader.organisation_id == organisation_id
    )
    if await tx.scalar(select(found)):
        return True
    return await is_in_team(tx, case_id, organisation_id)
