"""Versions of agreements: drafts, what is in force, what was."""

from collections.abc import Sequence
from datetime import datetime

from sharing import purposes
from sharing.classes import mask_of
from sharing.confidentiality import rank
from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.domain import OrganisationKind, Stage
from gateway.models import Agreement, AgreementVersion, Organisation
from gateway.queries import rows

# any constant of ours: publications of one custodian take turns
_PUBLICATION = 7_412_102


async def get(tx: AsyncSession, draft_id: str, *, lock: bool = False) -> AgreementVersion:
    """Return a version, whatever its stage; for administrators only. Raises NotFound."""
    return await rows.get(tx, AgreementVersion, draft_id, lock=lock)


async def page(
    tx: AsyncSession, stage: Stage | None, agreement_id: str | None, after: str | None, limit: int
) -> Sequence[AgreementVersion]:
    """Return versions, newest first, one more than the limit; for administrators only."""
    within = (
        rows.same(AgreementVersion.stage, stage),
        rows.same(AgreementVersion.agreement_id, agreement_id),
    )
    return await rows.page(tx, AgreementVersion, *within, after=after, limit=limit)


async def close(tx: AsyncSession, agreement_id: str, stage: Stage, at: datetime) -> None:
    """Note that what was published of the agreement no longer is."""
    table = AgreementVersion
    await tx.execute(
        update(table)
        .where(table.agreement_id == agreement_id, table.stage == Stage.PUBLISHED)
        .values(stage=stage, over_at=at, version=table.version + 1)
    )


async def one_at_a_time(tx: AsyncSession, custodian_id: str) -> None:
    """Wait for the custodian's other publications: each difference is made alone."""
    turn = func.pg_advisory_xact_lock(_PUBLICATION, func.hashtext(custodian_id))
    await tx.execute(select(turn))


async def recipients(
    tx: AsyncSession, recipient_id: str | None, kind: OrganisationKind | None
) -> list[str]:
    """Return the organisations that an agreement speaks of."""
    if recipient_id is not None:
        return [recipient_id]
    of_kind = select(Organisation.id).where(Organisation.kind == kind).order_by(Organisation.id)
    return list(await tx.scalars(of_kind))


async def is_beyond_others(tx: AsyncSession, agreement: Agreement) -> bool:
    """Tell whether other agreements in force bind its parties, and none allows as much."""
    query = select(Agreement).where(
        Agreement.id != agreement.id,
        Agreement.custodian_id == agreement.custodian_id,
        Agreement.recipient_id.is_not_distinct_from(agreement.recipient_id),
        Agreement.recipient_kind.is_not_distinct_from(agreement.recipient_kind),
        or_(Agreement.valid_to.is_(None), Agreement.valid_to > agreement.valid_from),
    )
    others = (await tx.scalars(query)).all()
    return bool(others) and not any(_allows(one, agreement) for one in others)


def _allows(one: Agreement, other: Agreement) -> bool:
    covered = purposes.mask_of(one.purposes)
    return (
        not mask_of(other.classes) & ~mask_of(one.classes)
        and not mask_of(one.consent_classes) & ~mask_of(other.consent_classes)
        and all(purposes.covers(covered, code) for code in other.purposes)
        and rank(other.confidentiality) <= rank(one.confidentiality)
    )
