"""Whose row an id names, and what decides about it: for the ledger and for explanations."""

from sharing.classes import DataClass, names_of
from sharing.described import Described, Way
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


async def describe(session: AsyncSession, row_id: str) -> Described | None:
    """Return what decides about the referral; None when there is none. A draft has one side."""
    if not row_id.startswith("ref_"):
        return None
    statement = select(Referral).where(Referral.id == row_id)
    found = await session.scalar(statement)
    if found is None:
        return None
    told = [found.owner_id] if found.requested_at else []
    return Described(
        resource="referral",
        custodian_id=found.custodian_id,
        person_id=found.person_id,
        required=tuple(names_of(DataClass(found.required_classes))),
        confidentiality="N",
        ways=(Way(case_id=found.case_id, referral_id=found.id),),
        parties=(found.requester_id, *told),
    )
