"""Fills the worker inbox from what happened, and lets workers mark what they have read and done.

Of a task's or referral's events only the newest state counts: what it no longer asks of anybody is
withdrawn, in the transaction that takes the event from the log. A repeat changes nothing.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sharing.events import rank_of, referral_of
from sqlalchemy import ColumnElement, delete, func, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.identity import Caller
from svckit.ids import new_id

from notify_svc.actions import mails
from notify_svc.actions.fanout import Told, mask_needed
from notify_svc.domain.inbox import CLAIM, ENDED_REFERRAL, OPEN_TASK, About, Kind
from notify_svc.domain.kinds import KINDS, full, short
from notify_svc.models.inbox import ContactBan, Duty, InboxItem, InboxMark
from notify_svc.queries import claims, inbox

# how long before a deadline it is told of
DUE_BEFORE = timedelta(days=1)
_CLOCKED = (Kind.DUE, Kind.OVERDUE)


async def learn(tx: AsyncSession, event: Told) -> None:
    """Take from an event what workers are to be told, and what no longer."""
    if event.data.get("change"):
        for hear in _HEARD.get(event.type, ()):
            await hear(tx, event)


async def _task(tx: AsyncSession, event: Told) -> None:
    change = event.data["change"]
    holder, worker = change["organisation_id"], change.get("worker_key")
    if change["status"] not in OPEN_TASK or holder is None:
        await _over(tx, event.subject)
        return
    known = await inbox.duty_for_update(tx, event.subject, About.TASK)
    is_held = known is not None and (known.organisation_id, known.worker_key) == (holder, worker)
    due_at = _instant(change.get("due_at"))
    if is_held and known is not None and known.due_at == due_at:
        return
    await _put_duty(tx, event, About.TASK, holder, worker, due_at)
    if is_held:
        await _withdraw(tx, event.subject, InboxItem.kind.in_(_CLOCKED))
        return
    await _withdraw(tx, event.subject)
    if change.get("command") != CLAIM:
        await tell(tx, _item(event, Kind.ASSIGNED, About.TASK, holder, worker=worker, at=due_at))


async def _referral(tx: AsyncSession, event: Told) -> None:
    change, verb = event.data["change"], short(event.type).split(".")[1]
    owner, subject = change["recipient_id"], event.subject
    if verb == "drafted":
        return
    if verb == "requested":
        accept_by = _instant(change.get("accept_by"))
        await _put_duty(tx, event, About.ACCEPT, owner, None, accept_by)
        await tell(tx, _item(event, Kind.WAITING, About.ACCEPT, owner, at=accept_by))
        return
    if verb == "changed":
        if "business_status" not in change["fields"]:
            return
    elif verb == "accepted":
        await _over(tx, subject, About.ACCEPT)
        start_by = _instant(change.get("start_by"))
        if start_by:
            await _put_duty(tx, event, About.START, owner, None, start_by)
    elif verb == "started":
        await _over(tx, subject, About.START)
    elif verb in ENDED_REFERRAL:
        await _over(tx, subject)
    await _news(tx, event)


async def _news(tx: AsyncSession, event: Told) -> None:
    """Tell whoever did not do it; what was told of the referral's state before is old."""
    await _withdraw(tx, event.subject, InboxItem.about == About.STATE)
    for party in _others(event, event.caused_by):
        await tell(tx, _item(event, Kind.REFERRAL_NEWS, About.STATE, party))


async def _message(tx: AsyncSession, event: Told) -> None:
    """A message waits until whoever got it writes one."""
    referral, sender = event.data["change"]["referral_id"], event.data["change"]["sender_id"]
    await _withdraw(tx, referral, InboxItem.about == About.ANSWER)
    for party in _others(event, sender):
        item = _item(event, Kind.WAITING, About.ANSWER, party)
        await tell(tx, item | {"subject": referral})


def _others(event: Told, organisation_id: str) -> list[str]:
    return [party for party in event.data["parties"] if party != organisation_id]


async def _contact(tx: AsyncSession, event: Told) -> None:
    """Keep who must not be contacted, by the record or referral that says so."""
    change = event.data["change"]
    by_record = "record_id" in change
    said = change.get("contact_prohibited" if by_record else "contacting_subject_prohibited")
    source = change["record_id"] if by_record else event.subject
    if said is None:
        return
    if said and not event.type.endswith("referral.voided.v1"):
        values = {"source_id": source, "person_id": event.data["person_id"]}
        await tx.execute(upsert(ContactBan).values(values).on_conflict_do_nothing())
    else:
        await tx.execute(delete(ContactBan).where(ContactBan.source_id == source))


Hear = Callable[[AsyncSession, Told], Awaitable[None]]
_REFERRALS = [full(kind) for kind in KINDS if kind.startswith("referral.")]
_HEARD: Mapping[str, Sequence[Hear]] = MappingProxyType(
    {
        **dict.fromkeys((full("task.created"), full("task.changed")), (_task,)),
        **dict.fromkeys((full("person.registered"), full("person.changed")), (_contact,)),
        **dict.fromkeys(_REFERRALS, (_contact, _referral)),
        full("message.sent"): (_message,),
    }
)


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _decided(event: Told) -> dict[str, Any]:
    data = event.data
    return {
        "subject": event.subject,
        "href": data["href"],
        "custodian_id": data["custodian_id"],
        "person_id": data["person_id"],
        "case_id": data["case_id"],
        "referral_id": referral_of(data),
        "parties": list(data["parties"]),
        "classes": mask_needed(data["classes"]),
        "confidentiality": rank_of(data),
    }


def _item(  # what a notice is
    event: Told,
    kind: Kind,
    about: About,
    organisation_id: str,
    *,
    worker: str | None = None,
    at: datetime | None = None,
) -> dict[str, Any]:
    whom = {"organisation_id": organisation_id, "worker_key": worker, "due_at": at}
    return {**_decided(event), **whom, "kind": kind, "about": about, "cause": event.id}


async def tell(tx: AsyncSession, item: Mapping[str, Any]) -> None:
    """Put a notice into the inbox and queue the mails of those who want it at once. Once only."""
    found = await tx.scalar(
        upsert(InboxItem)
        .values(id=new_id("itm"), created_at=func.now(), **item)
        .on_conflict_do_nothing()
        .returning(InboxItem.id)
    )
    if found is not None:
        await mails.queue_item(
            tx,
            found,
            item["kind"],
            organisation_id=item["organisation_id"],
            whose=item["worker_key"],
        )


async def _put_duty(  # noqa: PLR0917  # in the order of a sentence: what, who, until when
    tx: AsyncSession,
    event: Told,
    about: About,
    organisation_id: str,
    worker: str | None,
    due_at: datetime | None,
) -> None:
    values = {
        **_decided(event),
        "organisation_id": organisation_id,
        "worker_key": worker,
        "cause": event.id,
        "due_at": due_at,
        "next_at": due_at - DUE_BEFORE if due_at else None,
    }
    statement = upsert(Duty).values(about=about, **values)
    key = [Duty.subject, Duty.about]
    await tx.execute(statement.on_conflict_do_update(index_elements=key, set_=values))


async def _over(tx: AsyncSession, subject: str, about: About | None = None) -> None:
    """Nothing is to be done any more: of one thing, or of the whole task or referral."""
    which = [Duty.subject == subject] + ([Duty.about == about] if about else [])
    await tx.execute(delete(Duty).where(*which))
    await _withdraw(tx, subject, *([InboxItem.about == about] if about else []))


async def _withdraw(tx: AsyncSession, subject: str, *which: ColumnElement[bool]) -> None:
    await tx.execute(
        update(InboxItem)
        .where(InboxItem.subject == subject, InboxItem.withdrawn_at.is_(None), *which)
        .values(withdrawn_at=func.now())
        .execution_options(synchronize_session=False)
    )


async def pass_time(tx: AsyncSession, *, limit: int = 100) -> int:
    """Tell of deadlines that are near or have passed, by the database's clock; return how many.

    A notice and the next look at its deadline are one commit: none is told twice or left out,
    whenever a process dies and however many of them look.
    """
    duties = await inbox.due(tx, limit=limit)
    now = await claims.database_now(tx)
    for duty in duties:
        assert duty.due_at is not None
        is_late = duty.due_at <= now
        if is_late:
            due = (InboxItem.kind == Kind.DUE, InboxItem.about == duty.about)
            await _withdraw(tx, duty.subject, *due)
        await tell(tx, _clocked(duty, Kind.OVERDUE if is_late else Kind.DUE))
        duty.next_at = None if is_late else duty.due_at
    return len(duties)


def _clocked(duty: Duty, kind: Kind) -> dict[str, Any]:
    same = ("subject", "href", "custodian_id", "person_id", "case_id", "referral_id", "parties")
    also = (
        "classes",
        "confidentiality",
        "organisation_id",
        "worker_key",
        "about",
        "due_at",
        "cause",
    )
    return {name: getattr(duty, name) for name in (*same, *also)} | {"kind": kind}


async def mark(
    tx: AsyncSession, caller: Caller, whose: str, item_id: str, *, done: bool
) -> inbox.Notice:
    """Mark an item read, or done, for one worker; again changes nothing. Raises NotFound."""
    found = await inbox.get(tx, caller, whose, item_id)
    values = {"item_id": item_id, "whose": whose, "organisation_id": caller.organisation_id}
    statement = upsert(InboxMark).values(
        **values, read_at=func.now(), done_at=func.now() if done else None
    )
    kept = {"done_at": func.coalesce(InboxMark.done_at, statement.excluded.done_at)}
    await tx.execute(
        statement.on_conflict_do_update(
            index_elements=[InboxMark.item_id, InboxMark.whose], set_=kept
        )
    )
    action = "inbox-item.done" if done else "inbox-item.read"
    await audit.record(tx, caller, action=action, resource=found.item.id)
    return await inbox.get(tx, caller, whose, item_id)
