"""Who may learn of an event, and which of their endpoints want it."""

from collections.abc import Collection, Sequence

from sharing import replica
from sharing.model import Organisation
from sqlalchemy import Select, Text, func, literal, or_, select, union_all
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.db import Id

from notify_svc.domain.kinds import patterns_of
from notify_svc.domain.readers import default_purpose
from notify_svc.models import Endpoint, Message
from notify_svc.queries.visible import visible

# any constant of ours: see `serialise`
_FAN_OUT = 7_412_101


async def serialise(tx: AsyncSession) -> None:
    """Let one transaction at a time number the feeds.

    Batches of several partitions touch the same subscribers' counters, in any order: without
    this they would wait for one another in a circle.
    """
    await tx.execute(select(func.pg_advisory_xact_lock(_FAN_OUT)))


async def audience(tx: AsyncSession, message: Message) -> list[str]:
    """Return the organisations to be told of a stored message, sorted."""
    standing = {message.custodian_id, *message.parties}
    candidates = await replica.recipients(
        tx, person_id=message.person_id, custodian_id=message.custodian_id
    )
    recipients = [
        Organisation(each.organisation_id, each.kind, default_purpose(each.kind))
        for each in candidates
        if each.organisation_id not in standing
    ]
    if not recipients:
        return sorted(standing)
    decided: list[Select[str]] = [
        select(literal(reader.organisation_id, Id).label("organisation_id")).where(
            select(Message.id).where(Message.id == message.id, visible(reader)).exists()
        )
        for reader in recipients
    ]
    told = await tx.scalars(union_all(*decided))
    return sorted({*standing, *told})


async def listening(
    tx: AsyncSession, organisations: Collection[str], event_type: str
) -> Sequence[Endpoint]:
    """Return the endpoints of these organisations whose filter matches, disabled ones as well."""
    wanted = literal(patterns_of(event_type), ARRAY(Text))
    found = await tx.scalars(
        select(Endpoint)
        .where(
            Endpoint.organisation_id.in_(organisations),
            Endpoint.deleted_at.is_(None),
            or_(func.cardinality(Endpoint.kinds) == 0, Endpoint.kinds.overlap(wanted)),
        )
        .order_by(Endpoint.id)
    )
    return found.all()
