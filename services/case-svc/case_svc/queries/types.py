"""Case types: the organisation's own, and the network's."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.errors import NotFound
from svckit.identity import Caller

from case_svc.domain.cases import TypeStatus
from case_svc.models import CaseType

DEFAULT = "care-coordination"


async def get_type(tx: AsyncSession, caller: Caller, type_id: str) -> CaseType:
    """Return the case type. Raises NotFound."""
    found = await tx.scalar(select(CaseType).where(CaseType.id == type_id, _visible(caller)))
    if found is None:
        raise NotFound
    return found


async def lock_type(tx: AsyncSession, caller: Caller, type_id: str) -> CaseType:
    """Return the organisation's own case type, locked. Raises NotFound."""
    statement = (
        select(CaseType)
        .where(CaseType.id == type_id, CaseType.organisation_id == caller.organisation_id)
        .with_for_update(key_share=True)
    )
    found = await tx.scalar(statement)
    if found is None:
        raise NotFound
    return found


async def find_default(tx: AsyncSession, caller: Caller) -> CaseType | None:
    """Return the newest published default: the organisation's own before the network's."""
    statement = (
        select(CaseType)
        .where(CaseType.code == DEFAULT, CaseType.status == TypeStatus.PUBLISHED, _visible(caller))
        .order_by(CaseType.organisation_id.is_(None), CaseType.edition.desc())
        .limit(1)
    )
    return await tx.scalar(statement)


async def last_edition(tx: AsyncSession, caller: Caller, code: str) -> int:
    """Return the highest edition the organisation has of the code, 0 for none."""
    statement = (
        select(CaseType.edition)
        .where(CaseType.organisation_id == caller.organisation_id, CaseType.code == code)
        .order_by(CaseType.edition.desc())
        .limit(1)
    )
    return await tx.scalar(statement) or 0


async def list_types(
    tx: AsyncSession,
    caller: Caller,
    *,
    code: str | None,
    status: TypeStatus | None,
    after: str | None,
    limit: int,
) -> Sequence[CaseType]:
    """Return a page of case types, newest first."""
    statement = select(CaseType).where(_visible(caller)).order_by(CaseType.id.desc()).limit(limit)
    if code:
        statement = statement.where(CaseType.code == code)
    if status:
        statement = statement.where(CaseType.status == status)
    if after:
        statement = statement.where(CaseType.id < after)
    return (await tx.scalars(statement)).all()


def _visible(caller: Caller) -> ColumnElement[bool]:
    own = CaseType.organisation_id == caller.organisation_id
    return or_(own, CaseType.organisation_id.is_(None))
