"""What other services own and this one knows by their events: cases, organisations, agreements."""

from dataclasses import dataclass

from sharing import Reader, replica, sql
from sharing.classes import DataClass
from sharing.kept import Statement, given, kept
from sharing.tables import organisation
from sqlalchemy import DateTime, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now
from svckit.identity import Caller

from referral_svc.models import CaseFile

# built once: the compiled rule is kept by its columns
_PROTECTED = sql.protected(case=CaseFile.id)


@dataclass(frozen=True)
class Standing:
    """One case as this service knows it, and whether the caller may coordinate on it."""

    person_id: str
    custodian_id: str
    may_coordinate: bool


async def find_standing(session: AsyncSession, caller: Caller, case_id: str) -> Standing | None:
    """Return the case with the caller's standing on it, None for a case not known (yet)."""
    # a grant may begin while this transaction waits for it
    row = await _standing.first(session, caller, {"case_id": case_id, "at": now()})
    return Standing(*row) if row else None


@kept
def _standing(reader: Reader) -> Statement:
    mask = sql.shared(
        reader,
        custodian=CaseFile.custodian_id,
        person=CaseFile.person_id,
        case=CaseFile.id,
        confidentiality=_PROTECTED,
        at=given("at", DateTime(timezone=True)),
    )
    may = sql.may_see(mask, "coordination")
    return select(CaseFile.person_id, CaseFile.custodian_id, may).where(
        CaseFile.id == given("case_id")
    )


async def is_organisation(session: AsyncSession, organisation_id: str) -> bool:
    known = select(organisation.c.id).where(organisation.c.id == organisation_id)
    return await session.scalar(known) is not None


async def has_agreement(session: AsyncSession, *, custodian_id: str, recipient_id: str) -> bool:
    """Tell whether an agreement in force lets the custodian refer to the recipient."""
    found = await replica.agreement_in_force(
        session, custodian_id=custodian_id, recipient_id=recipient_id
    )
    return found is not None and bool(found.classes & DataClass.COORDINATION)


async def lock_person(tx: AsyncSession, person_id: str) -> None:
    """Serialise what opens a person's referrals to readers, until the commit.

    A new referral looks for grants and a new grant for referrals; without a common lock, two at
    the same time would each miss the other.
    """
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(person_id, 0))))
