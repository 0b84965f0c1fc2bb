"""An event becomes feed items and deliveries, in the transaction that takes it from the inbox."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from sharing.classes import UnknownClass, mask_of
from sharing.events import rank_of, referral_of
from sharing.model import Grant
from sharing.waiting import waits
from sqlalchemy import Text, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now
from svckit.failpoints import failpoint
from svckit.ids import new_id
from svckit.telemetry import traceparent

from notify_svc import events
from notify_svc.actions import hints
from notify_svc.domain.attempts import Status
from notify_svc.domain.filters import asked_classes, codes_of
from notify_svc.domain.kinds import short
from notify_svc.domain.schedule import KEEP_DAYS
from notify_svc.models import Delivery, Endpoint, FeedHead, FeedItem, Message
from notify_svc.queries import access, audience

DISABLED = "endpoint-disabled"
_LABELLING = frozenset({"note.labelled", "document.revised"})
NOBODY = 1 << 30  # a bit that no class has


class Told(Protocol):
    """What of a received event is told onward."""

    @property
    def id(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def key(self) -> str: ...
    @property
    def data(self) -> Mapping[str, Any]: ...
    @property
    def time(self) -> Any: ...
    @property
    def traceparent(self) -> str | None: ...
    @property
    def caused_by(self) -> str: ...


async def tell(tx: AsyncSession, event: Told) -> None:
    """Number the event in the feed of everyone who may learn of it and queue their webhooks.

    Statements do not grow with the audience. A repeat of the same event changes nothing. While an
    event of the case waits for an operator it is only stored (`kept_back`).
    """
    await audience.serialise(tx)
    stored = await _store(tx, event)
    if stored is None:
        return
    message, is_kept_back = stored
    if message.kind in _LABELLING:
        await _relabel(tx, message)
    if is_kept_back:
        return
    organisations = await audience.audience(tx, message)
    await hand_out(tx, message, organisations, parent=traceparent() or event.traceparent or "")


async def hand_out(
    tx: AsyncSession, message: Message, organisations: Sequence[str], *, parent: str, but: str = ""
) -> None:
    """Number a stored message in these feeds and queue it for their endpoints, `but` for one.

    The caller holds the turn of `audience.serialise`.
    """
    if organisations:
        await _number(tx, message, organisations)
        await access.told(tx, message, organisations)
        failpoint("fanout.numbered")
        found = await audience.listening(tx, organisations, message)
        endpoints = [endpoint for endpoint in found if endpoint.id != but]
        await queue(tx, message, endpoints, parent=parent)


async def _relabel(tx: AsyncSession, message: Message) -> None:
    """What was told of the resource before is from now on protected as it now is."""
    await tx.execute(
        update(Message)
        .where(Message.person_id == message.person_id, Message.subject == message.subject)
        .values(classes=message.classes, confidentiality=message.confidentiality)
    )


async def tell_missed(tx: AsyncSession, grant: Grant) -> None:
    """Tell a grant's recipient what it may see by now and was not told.

    Events and grants come by different topics, in any order: what happened while the grant holds
    is told even when it came first. A repeat changes nothing.
    """
    if grant.valid_to is not None and grant.valid_to <= now():
        return
    await audience.serialise(tx)
    for message in await audience.missed(tx, grant):
        await hand_out(tx, message, [grant.recipient_id], parent=traceparent())


async def tell_since(tx: AsyncSession, at: datetime) -> None:
    """Tell what happened since then to who may know of it by now and was not told."""
    await audience.serialise(tx)
    for message in await audience.since(tx, at):
        told = await audience.told(tx, message)
        found = [one for one in await audience.audience(tx, message) if one not in told]
        await hand_out(tx, message, found, parent=traceparent())


async def _store(tx: AsyncSession, event: Told) -> tuple[Message, bool] | None:
    """Store the message and tell whether it is kept back; None: it is there already."""
    data = event.data
    codes = codes_of(short(event.type), data.get("change", {}))
    stored = await tx.execute(
        upsert(Message)
        .values(
            id=event.id,
            type=event.type,
            kind=short(event.type),
            subject=event.subject,
            version=event.version,
            custodian_id=data["custodian_id"],
            person_id=data.get("person_id"),
            case_id=data.get("case_id"),
            referral_id=referral_of(data),
            parties=list(data["parties"]),
            classes=mask_needed(data["classes"]),
            confidentiality=rank_of(data),
            **codes._asdict(),
            body=events.body(event.type, event.time, data),
            occurred_at=event.time,
            expires_at=now() + timedelta(days=KEEP_DAYS),
        )
        .on_conflict_do_nothing()
        .returning(Message, waits(Message.case_id))
    )
    row = stored.first()
    return (row[0], bool(row[1])) if row else None


def mask_needed(classes: Iterable[str]) -> int:
    """Return the mask of the classes; one that this build does not know is one that nobody has."""
    try:
        return int(mask_of(classes))
    except UnknownClass:
        return NOBODY


async def _number(tx: AsyncSession, message: Message, organisations: Sequence[str]) -> None:
    """Give each organisation its next number; the counters' locks keep the feeds without gaps."""
    given = func.unnest(literal(list(organisations), ARRAY(Text(collation="C")))).column_valued("o")
    # unscoped: reads no table, only the list it was given
    heads = upsert(FeedHead).from_select(["organisation_id", "seq"], select(given, 1))
    numbered = await tx.execute(
        heads.on_conflict_do_update(
            index_elements=[FeedHead.organisation_id], set_={"seq": FeedHead.seq + 1}
        ).returning(FeedHead.organisation_id, FeedHead.seq)
    )
    items = [
        {
            "organisation_id": row.organisation_id,
            "seq": row.seq,
            "message_id": message.id,
            "kind": message.kind,
            "need_category": message.need_category,
            "transition": message.transition,
        }
        for row in numbered
    ]
    await tx.execute(insert(FeedItem), items)


async def queue(
    tx: AsyncSession, message: Message, endpoints: Sequence[Endpoint], *, parent: str
) -> list[str]:
    """Queue a message for endpoints; for a disabled one it is held, visible and ready to go out."""
    at = now()
    rows = [
        {
            "id": new_id("dlv"),
            "organisation_id": endpoint.organisation_id,
            "endpoint_id": endpoint.id,
            "message_id": message.id,
            "asked_classes": asked_classes(endpoint, message.transition_classes),
            "order_key": message.case_id or message.subject,
            "status": Status.PENDING if endpoint.enabled else Status.HELD,
            "reason": None if endpoint.enabled else DISABLED,
            "step": 0,
            "attempts": 0,
            "next_at": func.now(),
            "traceparent": parent,
            "created_at": at,
        }
        for endpoint in endpoints
    ]
    if rows:
        await tx.execute(insert(Delivery).values(rows))
        hints.wake_after_commit(tx)
    return [str(row["id"]) for row in rows]
