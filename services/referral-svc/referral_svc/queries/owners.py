"""Whose row an id names: for the ledger, which enters whom a refusal was about."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.disclosure import Owner

from referral_svc.models import Referral


async def owner_of(session: AsyncSession, row_id: str) -> Owner | None:
    """Return the custodian and the person of a referral, whoever asks; None when there is none."""
    if not row_id.startswith("ref_"):
        return None
    statement = select(Referral.custodian_id, Referral.person_id).where(Referral.id == row_id)
    row = (await session.execute(statement)).first()
    return Owner("referral", *row) if row else None
