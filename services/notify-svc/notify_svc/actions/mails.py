"""Mails: queued with what they tell of, decided again when they are sent, written ahead, settled.

pending ──claim──> sending ──> sent
   ^                  │ ├────> failed      refused for good, or tried often enough
   └── wait / lease ──┘
pending ──> cancelled    there is nothing to tell any more, or nobody to tell
pending ──> suppressed   contacting the person is prohibited
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sharing.model import Organisation
from sharing.part2 import notice
from sqlalchemy import func, insert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.ids import new_id

from notify_svc import events
from notify_svc.actions import codes
from notify_svc.domain import letters
from notify_svc.domain.inbox import Kind
from notify_svc.domain.letters import Letter, Line
from notify_svc.domain.mailbox import (
    Answer,
    Hours,
    MailKind,
    MailOutcome,
    MailStatus,
    Mode,
    Verdict,
    day_of,
    judge,
    next_digest,
    quiet_until,
)
from notify_svc.domain.readers import default_purpose
from notify_svc.models.inbox import InboxItem, Mail, MailAttempt, Mailbox
from notify_svc.queries import claims, inbox, mails
from notify_svc.queries.claims import Telling
from notify_svc.settings import Settings

PROHIBITED = "contacting-subject-prohibited"
_BATCH = 20


async def queue_item(
    tx: AsyncSession, item_id: str, kind: Kind, *, organisation_id: str, whose: str | None
) -> None:
    """Queue the mails of those who want a notice of this kind at once."""
    for mailbox_id in await mails.wanting(tx, organisation_id, whose, kind):
        await queue(tx, mailbox_id, MailKind.IMMEDIATE, item_id)


async def queue(tx: AsyncSession, mailbox_id: str, kind: MailKind, cause: str) -> None:
    """Queue a mail; of one cause there is one."""
    values = {
        "id": new_id("mal"),
        "mailbox_id": mailbox_id,
        "kind": kind,
        "cause": cause,
        "status": MailStatus.PENDING,
        "step": 0,
        "attempts": 0,
        "next_at": func.now(),
        "created_at": func.now(),
    }
    await tx.execute(upsert(Mail).values(values).on_conflict_do_nothing())


async def plan(tx: AsyncSession) -> int:
    """Queue the digests that are due, one a day, and what operations have not been told."""
    now = await claims.database_now(tx)
    due = await mails.digests(tx, limit=_BATCH)
    for box in due:
        assert box.digest_at is not None
        hours = hours_of(box)
        await queue(tx, box.id, MailKind.DIGEST, f"digest {day_of(hours, box.digest_at)}")
        box.digest_at = next_digest(hours, now)
    told = await mails.of_endpoints(tx, limit=_BATCH)
    for each in told:
        await queue(tx, each.mailbox.id, MailKind.OPERATIONS, each.message_id)
        each.mailbox.seen_seq = each.seq
    return len(due) + len(told)


def hours_of(box: Mailbox) -> Hours:
    return Hours(box.time_zone, box.digest_hour, box.quiet_from, box.quiet_to)


@dataclass(frozen=True)
class _Words:
    """What a mail would say, and of whose rows; without text it says nothing, for the reason."""

    subject: str = ""
    text: str = ""
    told: list[InboxItem] = field(default_factory=list)
    status: MailStatus = MailStatus.CANCELLED
    reason: str | None = None


@dataclass(frozen=True)
class Claimed:
    """A mail that was due: what to send, or nothing where it waits or has come to its end unsent."""

    letter: Letter | None


async def claim(tx: AsyncSession, settings: Settings) -> Claimed | None:
    """Take a mail that is due: decide what it says now, and write the attempt ahead.

    None when nothing is due. After this commits the attempt reads `unknown` until its result is
    written; when none comes, the mail is due again at the end of the lease, under the same
    Message-ID.
    """
    due = await mails.due(tx)
    if due is None:
        return None
    mail, box, kind = due
    now = await claims.database_now(tx)
    quiet = quiet_until(hours_of(box), now) if mail.kind is not MailKind.VERIFY else None
    if quiet:
        mail.next_at, mail.status, mail.token = quiet, MailStatus.PENDING, None
        return Claimed(None)
    reader = Organisation(box.organisation_id, kind, default_purpose(kind))
    words = await _words(tx, mail, box, reader, settings)
    if not words.text or box.email is None:
        mail.status, mail.reason, mail.token = words.status, words.reason, None
        mail.ended_at = now
        return Claimed(None)
    letter = await _write_ahead(tx, mail, box, words, until=now + _lease(settings))
    await _disclose(tx, mail, box, kind, words.told)
    return Claimed(letter)


def _lease(settings: Settings) -> timedelta:
    return timedelta(seconds=settings.smtp_timeout_s + settings.lease_margin_s)


async def _write_ahead(
    tx: AsyncSession, mail: Mail, box: Mailbox, words: _Words, *, until: datetime
) -> Letter:
    token = new_id("att")
    mail.status, mail.token, mail.next_at = MailStatus.SENDING, token, until
    mail.attempts += 1
    await tx.flush()
    await tx.execute(
        insert(MailAttempt).values(
            id=token,
            mail_id=mail.id,
            number=mail.attempts,
            started_at=func.clock_timestamp(),
            outcome=MailOutcome.UNKNOWN,
        )
    )
    assert box.email is not None
    return Letter(token, mail.id, box.email, words.subject, words.text, mail.created_at)


async def _words(
    tx: AsyncSession, mail: Mail, box: Mailbox, reader: Organisation, settings: Settings
) -> _Words:
    if mail.kind is MailKind.VERIFY:
        if box.email is None or mail.cause != codes.cause_of(box):
            return _Words(reason="address-changed")
        return _Words(*letters.verification(codes.code_of(box, settings)))
    if box.verified_at is None:
        return _Words(reason="address-not-verified")
    if mail.kind is MailKind.OPERATIONS:
        event = await mails.endpoint_event(tx, box.organisation_id, mail.cause)
        said = letters.operations(event.kind, event.href, settings.issuer) if event else ("", "")
        return _Words(*said, reason="no-longer-visible")
    if mail.kind is MailKind.DIGEST:
        kinds = [kind for kind, mode in box.modes.items() if mode == Mode.DIGEST]
        items = await inbox.to_tell(tx, reader, box.whose, kinds)
        return _of_items(items, settings) if items else _Words(reason="nothing-to-tell")
    return await _of_one(tx, mail, box, reader, settings)


async def _of_one(
    tx: AsyncSession, mail: Mail, box: Mailbox, reader: Organisation, settings: Settings
) -> _Words:
    found = await inbox.standing(tx, reader, box.whose, mail.cause)
    if found is None:
        return _Words(reason="no-longer-to-tell")
    if found.is_banned:
        return _Words(status=MailStatus.SUPPRESSED, reason=PROHIBITED)
    if box.modes.get(found.item.kind) != Mode.IMMEDIATE:
        return _Words(reason="not-wanted")
    return _of_items([found.item], settings)


def _of_items(items: Iterable[InboxItem], settings: Settings) -> _Words:
    told = list(items)
    lines = [Line(item.kind, item.about, item.href) for item in told]
    by_law = next((found for item in told if (found := notice(item.classes))), None)
    return _Words(*letters.notices(lines, settings.issuer, by_law), told=told)


async def _disclose(
    tx: AsyncSession, mail: Mail, box: Mailbox, kind: str, told: Iterable[InboxItem]
) -> None:
    """Tell the ledger of other organisations' persons that the mail tells of."""
    assert mail.token is not None
    by_custodian: dict[str, list[Telling]] = {}
    for item in told:
        if item.custodian_id != box.organisation_id:
            telling = Telling(
                mail.token,
                mail.id,
                box.id,
                box.organisation_id,
                kind,
                item.custodian_id,
                item.person_id,
                item.classes,
            )
            by_custodian.setdefault(item.custodian_id, []).append(telling)
    for custodian_id, tellings in sorted(by_custodian.items()):
        for start in range(0, len(tellings), events.TELLINGS):
            some = tellings[start : start + events.TELLINGS]
            await events.disclosed(tx, custodian_id, some, by_mail=True)


async def settle(
    tx: AsyncSession, letter: Letter, answer: Answer, settings: Settings, chance: float
) -> Verdict | None:
    """Write what came of an attempt; None when it is no longer this attempt's to say."""
    mail = await mails.held(tx, letter.mail_id, letter.token)
    if mail is None:
        return None
    verdict = judge(answer, mail.step, chance, settings.smtp_schedule_s)
    now = await claims.database_now(tx)
    mail.status, mail.step, mail.reason = verdict.status, verdict.step, verdict.reason
    mail.token = None
    mail.next_at = now + timedelta(seconds=verdict.wait_s)
    mail.ended_at = None if verdict.status is MailStatus.PENDING else now
    attempt = await tx.get_one(MailAttempt, letter.token)  # unscoped: this attempt's own row
    attempt.outcome, attempt.ended_at = verdict.outcome, now
    attempt.code, attempt.error = answer.code, answer.error
    return verdict
