"""Whose row an id names and what decides about it, whoever asks: for ledger and explanation."""

from collections.abc import Sequence

from sharing.classes import DataClass, names_of
from sharing.described import Described, Way
from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.disclosure import Owner

from document_svc.domain import Anchor, Status
from document_svc.models import Document, Link, ReferralRef


async def owner_of(session: AsyncSession, row_id: str) -> Owner | None:
    """Return the custodian and the person of a document, whoever asks; None when there is none."""
    statement = select(Document.custodian_id, Document.person_id).where(Document.id == row_id)
    row = (await session.execute(statement)).first()
    return Owner("document", *row) if row else None


async def describe(session: AsyncSession, row_id: str) -> Described | None:
    """Return what decides about a document; None when there is none."""
    found = await session.scalar(select(Document).where(Document.id == row_id))
    if found is None:
        return None
    attached = (
        select(Link, ReferralRef.parties)
        .outerjoin(
            ReferralRef, and_(Link.anchor == Anchor.REFERRAL, ReferralRef.id == Link.target_id)
        )
        .where(Link.document_id == row_id)
        .order_by(Link.recorded_at, Link.target_id)
    )
    return Described(
        resource="document",
        custodian_id=found.custodian_id,
        person_id=found.person_id,
        required=tuple(names_of(DataClass(found.required))),
        confidentiality=found.confidentiality.value,
        ways=tuple(_way(*row) for row in await session.execute(attached)),
        shared=found.status is Status.CURRENT,
    )


def _way(link: Link, parties: Sequence[str] | None) -> Way:
    if link.anchor is Anchor.CASE:
        return Way(case_id=link.case_id)
    return Way(case_id=link.case_id, referral_id=link.target_id, only=tuple(parties or ()))
