"""Who may be able to see a referral: the narrow table that lists start from."""

from sharing.model import Grant
from sharing.tables import grant as grants
from sqlalchemy import Select, literal, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referral_svc.models import Referral, ReferralReader
from referral_svc.queries import network


async def admit_all(tx: AsyncSession, row: Referral) -> None:
    """Open a new referral to its custodian, its parties and every organisation with a grant.

    A draft is not opened to its owner; call again when it is requested.
    """
    await network.lock_person(tx, row.person_id)
    told = {row.custodian_id, row.requester_id}
    if row.requested_at is not None:
        told.add(row.owner_id)
    values = [{"organisation_id": reader, "referral_id": row.id} for reader in sorted(told)]
    await tx.execute(insert(ReferralReader).values(values).on_conflict_do_nothing())
    granted = select(grants.c.recipient_id, literal(row.id)).where(
        grants.c.person_id == row.person_id,
        grants.c.custodian_id == row.custodian_id,
        or_(grants.c.case_id.is_(None), grants.c.case_id == row.case_id),
    )
    await _admit(tx, granted)


async def admit(tx: AsyncSession, grant: Grant) -> None:
    """Open the referrals a grant reaches to its recipient; a repeat changes nothing."""
    await network.lock_person(tx, grant.person_id)
    reached = select(literal(grant.recipient_id), Referral.id).where(
        Referral.person_id == grant.person_id, Referral.custodian_id == grant.custodian_id
    )
    if grant.case_id is not None:
        reached = reached.where(Referral.case_id == grant.case_id)
    await _admit(tx, reached)


async def _admit(tx: AsyncSession, pairs: Select[str, str]) -> None:
    columns = ["organisation_id", "referral_id"]
    statement = insert(ReferralReader).from_select(columns, pairs.distinct())
    await tx.execute(statement.on_conflict_do_nothing())
