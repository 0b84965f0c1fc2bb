"""Policies: drafts, publications, and the one in force. They are the network's, not a caller's."""

from collections.abc import Sequence

from sharing.following import Published
from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.models import Policy, PolicyPublication
from gateway.queries import rows

# any constant of ours: publications take turns
_PUBLICATION = 7_412_104


async def get(tx: AsyncSession, policy_id: str) -> Policy:
    """Return a policy, in force or not. Raises NotFound."""
    return await rows.get(tx, Policy, policy_id)


async def page(tx: AsyncSession, after: str | None, limit: int) -> list[Policy]:
    """Return policies, newest first, one more than the limit."""
    return await rows.page(tx, Policy, after=after, limit=limit)


async def in_force(tx: AsyncSession, known: str) -> Published | None:
    """Return version and, when it is not the known one, text of the last publication."""
    version = PolicyPublication.sha256
    text = case((version != known, Policy.text)).label("text")
    query = select(version.label("version"), text).join_from(PolicyPublication, Policy)
    row = (await tx.execute(query.order_by(PolicyPublication.number.desc()).limit(1))).first()
    return Published(*row) if row else None


async def last(tx: AsyncSession) -> PolicyPublication | None:
    """Return the publication that counts; None: the release's own policy does."""
    query = select(PolicyPublication).order_by(PolicyPublication.number.desc()).limit(1)
    return await tx.scalar(query)


async def publications(
    tx: AsyncSession, before: int | None, limit: int
) -> Sequence[PolicyPublication]:
    """Return publications, newest first, one more than the limit."""
    number = PolicyPublication.number
    query = select(PolicyPublication).order_by(number.desc()).limit(limit + 1)
    return (await tx.scalars(query.where(number < before) if before else query)).all()


async def one_at_a_time(tx: AsyncSession) -> None:
    """Wait for any other publication: each difference is made alone."""
    await tx.execute(select(func.pg_advisory_xact_lock(_PUBLICATION)))
