"""Events become feed items and deliveries, in the transaction that takes them from the inbox."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from sharing.classes import UnknownClass, mask_of
from sharing.events import rank_of, referral_of
from sharing.model import Grant
from sharing.waiting import waits
from sqlalchemy import text, update
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
from notify_svc.models import Endpoint, Message
from notify_svc.queries import access, audience
from notify_svc.queries.audience import Listener

DISABLED = "endpoint-disabled"
LABELLING = frozenset({"note.labelled", "document.revised"})
NOBODY = 1 << 30  # a bit that no class has
_AT_ONCE = 500


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


class Handed(NamedTuple):
    """A stored message and whose feeds it goes into; endpoint `but` is not told of it."""

    message: Message
    organisations: Sequence[str]
    parent: str
    but: str = ""


async def tell(tx: AsyncSession, events: Sequence[Told]) -> None:
    """Number events in the feeds of everyone who may learn of them and queue their webhooks.

    Statements grow neither with the audience nor with the events, of which none is about a thing
    that another of them labels. A repeat of the same event changes nothing. While an event of the
    case waits for an operator they are only stored (`kept_back`).
    """
    await audience.serialise(tx)
    stored = await _store(tx, events)
    for message, _ in stored:
        if message.kind in LABELLING:
            await _relabel(tx, message)
    messages = [message for message, is_kept_back in stored if not is_kept_back]
    found = await audience.audiences(tx, messages)
    parents = {event.id: event.traceparent or "" for event in events}
    await hand_out_all(
        tx,
        [
            Handed(message, organisations, parents[message.id])
            for message, organisations in zip(messages, found, strict=True)
        ],
    )


async def hand_out(
    tx: AsyncSession, message: Message, organisations: Sequence[str], *, parent: str, but: str = ""
) -> None:
    """Number a stored message in these feeds and queue it for their endpoints, `but` for one.

    The caller holds the turn of `audience.serialise`.
    """
    await hand_out_all(tx, [Handed(message, organisations, parent, but)])


async def hand_out_all(tx: AsyncSession, handed: Iterable[Handed]) -> None:
    """The same for messages in the order in which they are numbered."""
    told = [each for each in handed if each.organisations]
    if not told:
        return
    await _number(tx, told)
    audiences = [(each.message, each.organisations) for each in told]
    await access.told(tx, audiences)
    failpoint("fanout.numbered")
    listening = await audience.listening(tx, audiences)
    await _queue(
        tx,
        [
            _delivery(each.message, endpoint, each.parent)
            for each, endpoints in zip(told, listening, strict=True)
            for endpoint in endpoints
            if endpoint.id != each.but
        ],
    )


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
    parent, recipient = traceparent(), [grant.recipient_id]
    missed = await audience.missed(tx, grant)
    await hand_out_all(tx, [Handed(message, recipient, parent) for message in missed])


async def tell_since(tx: AsyncSession, at: datetime) -> None:
    """Tell what happened since then to who may know of it by now and was not told."""
    await audience.serialise(tx)
    parent, messages = traceparent(), await audience.since(tx, at)
    for start in range(0, len(messages), _AT_ONCE):
        some = messages[start : start + _AT_ONCE]
        told, found = await audience.told(tx, some), await audience.audiences(tx, some)
        await hand_out_all(
            tx,
            [
                Handed(message, [one for one in all_ if (message.id, one) not in told], parent)
                for message, all_ in zip(some, found, strict=True)
            ],
        )


_KEPT_BACK = waits(Message.__table__.c.case_id).compile(compile_kwargs={"literal_binds": True})
_STORE = text(
    f"""
    INSERT INTO message (id, type, kind, subject, version, custodian_id, person_id, case_id,
      referral_id, parties, classes, confidentiality, need_category, transition,
      transition_classes, body, occurred_at, expires_at)
    SELECT id, type, kind, subject, version, custodian_id, person_id, case_id,
      referral_id, string_to_array(parties, ' '), classes, confidentiality, need_category,
      transition, transition_classes, body, occurred_at, expires_at
    FROM unnest(
      CAST(:id AS text[]), CAST(:type AS text[]), CAST(:kind AS text[]),
      CAST(:subject AS text[]), CAST(:version AS int[]), CAST(:custodian_id AS text[]),
      CAST(:person_id AS text[]), CAST(:case_id AS text[]), CAST(:referral_id AS text[]),
      CAST(:parties AS text[]), CAST(:classes AS int[]), CAST(:confidentiality AS smallint[]),
      CAST(:need_category AS text[]), CAST(:transition AS text[]),
      CAST(:transition_classes AS int[]), CAST(:body AS bytea[]),
      CAST(:occurred_at AS timestamptz[]), CAST(:expires_at AS timestamptz[]))
    AS u(id, type, kind, subject, version, custodian_id, person_id, case_id, referral_id, parties,
      classes, confidentiality, need_category, transition, transition_classes, body, occurred_at,
      expires_at)
    ON CONFLICT DO NOTHING RETURNING id, {_KEPT_BACK}
    """  # noqa: S608 - an expression of ours
)


async def _store(tx: AsyncSession, events: Sequence[Told]) -> list[tuple[Message, bool]]:
    """Store what was not yet, and return it in order, and whether it is kept back.

    The messages are for reading: no session knows them.
    """
    expires_at = now() + timedelta(days=KEEP_DAYS)
    rows = {event.id: _message(event) | {"expires_at": expires_at} for event in events}
    columns = _columns([row | {"parties": " ".join(row["parties"])} for row in rows.values()])
    fresh = {found: bool(is_kept_back) for found, is_kept_back in await tx.execute(_STORE, columns)}
    return [(Message(**row), fresh[found]) for found, row in rows.items() if found in fresh]


def _message(event: Told) -> dict[str, Any]:
    data, kind = event.data, short(event.type)
    return {
        "id": event.id,
        "type": event.type,
        "kind": kind,
        "subject": event.subject,
        "version": event.version,
        "custodian_id": data["custodian_id"],
        "person_id": data.get("person_id"),
        "case_id": data.get("case_id"),
        "referral_id": referral_of(data),
        "parties": list(data["parties"]),
        "classes": mask_needed(data["classes"]),
        "confidentiality": rank_of(data),
        **codes_of(kind, data.get("change", {}))._asdict(),
        "body": events.body(event.type, event.time, data),
        "occurred_at": event.time,
    }


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def mask_needed(classes: Iterable[str]) -> int:
    """Return the mask of the classes; one that this build does not know is one that nobody has."""
    try:
        return int(mask_of(classes))
    except UnknownClass:
        return NOBODY


# The counters' locks keep the feeds without gaps. Numbered and inserted in the order given.
_NUMBER = text(
    """
    WITH told AS (
      SELECT * FROM unnest(
        CAST(:organisation_id AS text[]), CAST(:message_id AS text[]), CAST(:kind AS text[]),
        CAST(:need_category AS text[]), CAST(:transition AS text[]))
      WITH ORDINALITY AS u(organisation_id, message_id, kind, need_category, transition, place)),
    head AS (
      INSERT INTO feed_head (organisation_id, seq)
      SELECT organisation_id, count(*) FROM told GROUP BY 1 ORDER BY 1
      ON CONFLICT (organisation_id) DO UPDATE SET seq = feed_head.seq + excluded.seq
      RETURNING organisation_id, seq)
    INSERT INTO feed_item (organisation_id, seq, message_id, kind, need_category, transition)
    SELECT organisation_id,
      head.seq + 1 - row_number() OVER (PARTITION BY organisation_id ORDER BY place DESC),
      message_id, kind, need_category, transition
    FROM told JOIN head USING (organisation_id) ORDER BY place
    """
)


async def _number(tx: AsyncSession, told: Sequence[Handed]) -> None:
    """Give each organisation its next numbers."""
    items = [
        {
            "organisation_id": organisation_id,
            "message_id": message.id,
            "kind": message.kind,
            "need_category": message.need_category,
            "transition": message.transition,
        }
        for message, organisations, *_ in told
        for organisation_id in organisations
    ]
    await tx.execute(_NUMBER, _columns(items))


# the order given is the order of their numbers
_QUEUE = text(
    """
    INSERT INTO delivery (id, organisation_id, endpoint_id, message_id, asked_classes, order_key,
      status, reason, step, attempts, next_at, traceparent, created_at)
    SELECT id, organisation_id, endpoint_id, message_id, asked_classes, order_key,
      status, reason, 0, 0, now(), traceparent, CAST(:at AS timestamptz)
    FROM unnest(
      CAST(:id AS text[]), CAST(:organisation_id AS text[]), CAST(:endpoint_id AS text[]),
      CAST(:message_id AS text[]), CAST(:asked_classes AS int[]), CAST(:order_key AS text[]),
      CAST(:status AS text[]), CAST(:reason AS text[]), CAST(:traceparent AS text[]))
    WITH ORDINALITY AS u(id, organisation_id, endpoint_id, message_id, asked_classes, order_key,
      status, reason, traceparent, place)
    ORDER BY place
    """
)


async def queue(
    tx: AsyncSession, message: Message, endpoints: Sequence[Endpoint], *, parent: str
) -> list[str]:
    """Queue a message for endpoints; for a disabled one it is held, visible and ready to go out."""
    rows = [_delivery(message, endpoint, parent) for endpoint in endpoints]
    await _queue(tx, rows)
    return [str(row["id"]) for row in rows]


def _delivery(message: Message, endpoint: Endpoint | Listener, parent: str) -> dict[str, Any]:
    return {
        "id": new_id("dlv"),
        "organisation_id": endpoint.organisation_id,
        "endpoint_id": endpoint.id,
        "message_id": message.id,
        "asked_classes": asked_classes(endpoint, message.transition_classes),
        "order_key": message.case_id or message.subject,
        "status": Status.PENDING if endpoint.enabled else Status.HELD,
        "reason": None if endpoint.enabled else DISABLED,
        "traceparent": parent,
    }


async def _queue(tx: AsyncSession, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        await tx.execute(_QUEUE, _columns(rows) | {"at": now()})
        hints.wake_after_commit(tx)
