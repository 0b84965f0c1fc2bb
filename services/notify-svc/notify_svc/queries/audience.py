"""Who may learn of an event, and which of their endpoints want it."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, cast

from sharing import replica, tables
from sharing.kept import Statement, given, kept
from sharing.model import Grant, Organisation, Reader
from sqlalchemy import ColumnElement, Integer, Select, Text, and_, any_, func, literal, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from notify_svc.domain.filters import asked_classes
from notify_svc.domain.kinds import patterns_of
from notify_svc.domain.readers import PURPOSES, default_purpose
from notify_svc.models import Endpoint, FeedItem, Message
from notify_svc.queries.visible import CLASSES, visible

# of a statement that names its readers itself
_NOBODY = Organisation("", "")
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
    others = [one.organisation_id for one in candidates if one.organisation_id not in standing]
    if not others:
        return sorted(standing)
    return sorted({*standing, *(await _learning_of(tx, message, others))})


async def _learning_of(
    tx: AsyncSession, message: Message, others: Sequence[str], asked: int = 0
) -> set[str]:
    """Return those of the organisations that may learn of it, and see these classes as well."""
    which = {"message_id": message.id, "others": others, "asked": asked}
    return {organisation_id for (organisation_id,) in await _learning.rows(tx, _NOBODY, which)}


@kept
def _learning(_: Reader) -> Statement:
    """Of the others those that may learn of the message, each kind by its purpose."""
    needed = CLASSES.op("|")(given("asked", Integer()))
    other = tables.organisation.alias()
    may = [
        and_(
            other.c.kind == kind,
            select(Message.id)
            .where(
                Message.id == given("message_id"),
                visible(Organisation(cast("str", other.c.id), kind, purpose), needed),
            )
            .correlate(other)
            .exists(),
        )
        for kind, purpose in PURPOSES.items()
    ]
    return select(other.c.id).where(other.c.id == any_(given("others", ARRAY(Text))), or_(*may))


async def missed(tx: AsyncSession, grant: Grant) -> Sequence[Message]:
    """Return what happened under the grant that its recipient may see and was not told, in order."""
    kind = await tx.scalar(
        select(tables.organisation.c.kind).where(tables.organisation.c.id == grant.recipient_id)
    )
    if kind is None:
        return []
    reader = Organisation(grant.recipient_id, kind, default_purpose(kind))
    which = {
        "person_id": grant.person_id,
        "custodian_id": grant.custodian_id,
        "since": grant.valid_from,
    }
    return [message for (message,) in await _missed.rows(tx, reader, which)]


@kept
def _missed(reader: Reader) -> Select[Any]:
    told = select(FeedItem.message_id).where(
        FeedItem.message_id == Message.id, FeedItem.organisation_id == reader.organisation_id
    )
    return (
        select(Message)
        .where(
            Message.person_id == given("person_id"),
            Message.custodian_id == given("custodian_id"),
            Message.occurred_at >= given("since"),
            Message.expires_at > func.now(),
            ~told.exists(),
            visible(reader),
        )
        .order_by(Message.occurred_at, Message.id)
    )


async def since(tx: AsyncSession, at: datetime) -> Sequence[Message]:
    """Return what happened from that instant on, in order."""
    query = select(Message).where(Message.occurred_at >= at)
    return (await tx.scalars(query.order_by(Message.occurred_at, Message.id))).all()


async def told(tx: AsyncSession, message: Message) -> set[str]:
    """Return the organisations whose feed holds the message."""
    query = select(FeedItem.organisation_id).where(FeedItem.message_id == message.id)
    return set(await tx.scalars(query))


async def grants_of(
    tx: AsyncSession, *, person_id: str | None = None, agreement_id: str | None = None
) -> Sequence[Grant]:
    """Return the grants about a person, or those that rest on an agreement."""
    grant = tables.grant
    which = grant.c.person_id == person_id if person_id else grant.c.agreement_id == agreement_id
    rows = await tx.execute(select(grant).where(which).order_by(grant.c.id))
    return [Grant(**row) for row in rows.mappings()]


async def listening(
    tx: AsyncSession, organisations: Collection[str], message: Message
) -> Sequence[Endpoint]:
    """Return the endpoints of these organisations whose filter matches, disabled ones as well."""
    wanted = literal(patterns_of(message.type), ARRAY(Text))
    found = await tx.scalars(
        select(Endpoint)
        .where(
            Endpoint.organisation_id.in_(organisations),
            Endpoint.deleted_at.is_(None),
            or_(_none(Endpoint.kinds), Endpoint.kinds.overlap(wanted)),
            *(
                or_(_none(column), literal(value, Text) == any_(column))
                for column, value in (
                    (Endpoint.case_ids, message.case_id),
                    (Endpoint.referral_ids, message.referral_id),
                    (Endpoint.need_categories, message.need_category),
                    (Endpoint.transitions, message.transition),
                )
            ),
        )
        .order_by(Endpoint.id)
    )
    return await _seeing_what_they_ask(tx, found.all(), message)


def _none(values: InstrumentedAttribute[list[str]]) -> ColumnElement[bool]:
    return func.cardinality(values) == 0


async def _seeing_what_they_ask(
    tx: AsyncSession, endpoints: Sequence[Endpoint], message: Message
) -> Sequence[Endpoint]:
    """Leave out who would learn by its filter of a field that it is not shown."""
    further = {
        endpoint.id: asked
        for endpoint in endpoints
        if (asked := asked_classes(endpoint, message.transition_classes) & ~message.classes)
    }
    if not further:
        return endpoints
    may: set[tuple[str, int]] = set()
    for asked in set(further.values()):
        asking = sorted({one.organisation_id for one in endpoints if further.get(one.id) == asked})
        may |= {(one, asked) for one in await _learning_of(tx, message, asking, asked)}
    return [
        one
        for one in endpoints
        if one.id not in further or (one.organisation_id, further[one.id]) in may
    ]
