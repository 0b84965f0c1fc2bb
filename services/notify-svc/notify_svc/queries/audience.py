"""Who may learn of an event, and which of their endpoints want it."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from sharing import tables
from sharing.kept import Statement, given, kept
from sharing.model import Grant, Organisation, Reader
from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Text,
    and_,
    column,
    func,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from notify_svc.domain.filters import asked_classes, is_wanted
from notify_svc.domain.readers import PURPOSES, default_purpose
from notify_svc.models import FeedItem, Message
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


# Candidates; whether one may really learn of a message is for the rule to say.
_CANDIDATES = text(
    """
    SELECT DISTINCT g.person_id, g.custodian_id, o.id
    FROM unnest(CAST(:persons AS text[]), CAST(:custodians AS text[])) AS u(person_id, custodian_id)
    JOIN sharing_grant g ON g.person_id = u.person_id AND g.custodian_id = u.custodian_id
    JOIN sharing_organisation o ON o.id = g.recipient_id
    """
)


async def audiences(tx: AsyncSession, messages: Sequence[Message]) -> list[list[str]]:
    """Return the organisations to be told of each of the stored messages, sorted."""
    persons = {(one.person_id, one.custodian_id) for one in messages if one.person_id is not None}
    candidates = defaultdict(set)
    if persons:
        which = {
            "persons": [person_id for person_id, _ in persons],
            "custodians": [custodian_id for _, custodian_id in persons],
        }
        for person_id, custodian_id, organisation_id in await tx.execute(_CANDIDATES, which):
            candidates[person_id, custodian_id].add(organisation_id)
    asking = [
        _Asking(one.id, organisation_id)
        for one in messages
        for organisation_id in candidates[one.person_id, one.custodian_id]
        if organisation_id != one.custodian_id and organisation_id not in one.parties
    ]
    may = await _learning_of(tx, asking)
    learning = defaultdict(set)
    for message_id, organisation_id, _ in may:
        learning[message_id].add(organisation_id)
    return [sorted({one.custodian_id, *one.parties, *learning[one.id]}) for one in messages]


class _Asking(NamedTuple):
    """May the organisation learn of the message, and does it see these classes as well?"""

    message_id: str
    organisation_id: str
    asked: int = 0


async def _learning_of(tx: AsyncSession, asking: Sequence[_Asking]) -> set[_Asking]:
    """Return those for which it is so."""
    if not asking:
        return set()
    messages, others, asked = zip(*asking, strict=True)
    which = {"messages": list(messages), "others": list(others), "asked": list(asked)}
    return {_Asking(*row) for row in await _learning.rows(tx, _NOBODY, which)}


@kept
def _learning(_: Reader) -> Statement:
    """Of those asking who may learn of the message, each kind of organisation by its purpose."""
    one = (
        func.unnest(
            given("messages", ARRAY(Text)),
            given("others", ARRAY(Text)),
            given("asked", ARRAY(Integer)),
        )
        .table_valued(column("message_id", Text), column("other", Text), column("asked", Integer))
        .render_derived()
    )
    other = tables.organisation.alias()
    needed = CLASSES.op("|")(one.c.asked)
    may = [
        and_(
            other.c.kind == kind,
            visible(Organisation(cast("str", other.c.id), kind, purpose), needed),
        )
        for kind, purpose in PURPOSES.items()
    ]
    return (
        select(one.c.message_id, other.c.id, one.c.asked)
        .select_from(one)
        .join(Message, Message.id == one.c.message_id)
        .join(other, other.c.id == one.c.other)
        .where(or_(*may))
    )


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


async def told(tx: AsyncSession, messages: Sequence[Message]) -> set[tuple[str, str]]:
    """Return which organisations' feeds hold which of the messages."""
    query = select(FeedItem.message_id, FeedItem.organisation_id).where(
        FeedItem.message_id.in_([one.id for one in messages])
    )
    return {(message_id, one) for message_id, one in await tx.execute(query)}


async def grants_of(
    tx: AsyncSession, *, person_id: str = "", agreement_id: str = "", case_id: str = ""
) -> Sequence[Grant]:
    """Return the grants about a person, those that rest on an agreement, or may show of a case."""
    grant = tables.grant
    which: ColumnElement[bool]
    if case_id:
        about = select(Message.person_id, Message.custodian_id).where(Message.case_id == case_id)
        which = tuple_(grant.c.person_id, grant.c.custodian_id).in_(about)
    elif person_id:
        which = grant.c.person_id == person_id
    else:
        which = grant.c.agreement_id == agreement_id
    rows = await tx.execute(select(grant).where(which).order_by(grant.c.id))
    return [Grant(**row) for row in rows.mappings()]


class Listener(NamedTuple):
    """An endpoint as far as it decides what goes to it."""

    id: str
    organisation_id: str
    enabled: bool
    kinds: Sequence[str]
    case_ids: Sequence[str]
    referral_ids: Sequence[str]
    need_categories: Sequence[str]
    transitions: Sequence[str]


_LISTENERS = text(
    """
    SELECT id, organisation_id, enabled, kinds, case_ids, referral_ids, need_categories, transitions
    FROM webhook_endpoint
    WHERE organisation_id = ANY(CAST(:organisations AS text[])) AND deleted_at IS NULL ORDER BY id
    """
)


async def listening(
    tx: AsyncSession, told: Sequence[tuple[Message, Collection[str]]]
) -> list[list[Listener]]:
    """Return for each message the endpoints of its organisations whose filter matches.

    Disabled ones as well. Left out is who would learn by its filter of a field that it is not shown.
    """
    organisations = sorted({one for _, found in told for one in found})
    rows = await tx.execute(_LISTENERS, {"organisations": organisations})
    listeners = defaultdict(list)
    for row in rows:
        listeners[row.organisation_id].append(Listener(*row))
    matching = [
        (
            message,
            [
                one
                for organisation_id in found
                for one in listeners[organisation_id]
                if is_wanted(one, message.type, message)
            ],
        )
        for message, found in told
    ]
    further = {
        (message.id, one.id): _Asking(message.id, one.organisation_id, asked)
        for message, found in matching
        for one in found
        if (asked := asked_classes(one, message.transition_classes) & ~message.classes)
    }
    may = {None, *(await _learning_of(tx, sorted(set(further.values()))))}
    return [
        sorted(one for one in found if further.get((message.id, one.id)) in may)
        for message, found in matching
    ]
