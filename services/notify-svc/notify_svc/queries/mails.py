"""Mailboxes, and the mails that are due to them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from sharing import tables
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from notify_svc.domain.inbox import OF_ENDPOINTS, OPERATIONS, Kind
from notify_svc.domain.mailbox import MailKind, MailStatus, Mode
from notify_svc.models import FeedItem, Message
from notify_svc.models.inbox import Mail, Mailbox

_WAITING = (MailStatus.PENDING, MailStatus.SENDING)


async def mailbox(
    session: AsyncSession, organisation_id: str, whose: str, *, lock: bool = False
) -> Mailbox | None:
    """Return a mailbox of the organisation."""
    query = select(Mailbox).where(
        Mailbox.organisation_id == organisation_id, Mailbox.whose == whose
    )
    found: Mailbox | None = await session.scalar(query.with_for_update() if lock else query)
    return found


async def wanting(
    tx: AsyncSession, organisation_id: str, whose: str | None, kind: Kind
) -> Sequence[str]:
    """Return the mailboxes that are to be told of a notice at once; `whose` None: of everyone's."""
    query = select(Mailbox.id).where(
        Mailbox.organisation_id == organisation_id,
        Mailbox.verified_at.is_not(None),
        Mailbox.modes[kind].astext == Mode.IMMEDIATE,
        Mailbox.whose == whose if whose else Mailbox.whose != OPERATIONS,
    )
    return (await tx.scalars(query)).all()


async def digests(tx: AsyncSession, *, limit: int) -> Sequence[Mailbox]:
    """Lock and return the mailboxes whose digest is due."""
    query = select(Mailbox).where(Mailbox.digest_at <= func.clock_timestamp())
    return (await tx.scalars(query.limit(limit).with_for_update(skip_locked=True))).all()


class Endpoint(NamedTuple):
    """An event of an organisation's own webhook endpoint."""

    mailbox: Mailbox
    seq: int
    message_id: str


async def of_endpoints(tx: AsyncSession, *, limit: int) -> list[Endpoint]:
    """Lock the mailboxes of operations that have not been told, and return of what, in order."""
    rows = await tx.execute(
        select(Mailbox, FeedItem.seq, FeedItem.message_id)
        .join(FeedItem, FeedItem.organisation_id == Mailbox.organisation_id)
        .where(
            Mailbox.whose == OPERATIONS,
            Mailbox.verified_at.is_not(None),
            FeedItem.kind.in_(OF_ENDPOINTS),
            FeedItem.seq > Mailbox.seen_seq,
        )
        .order_by(FeedItem.seq)
        .limit(limit)
        .with_for_update(of=Mailbox, skip_locked=True)
    )
    return [Endpoint(*row) for row in rows]


class Due(NamedTuple):
    """A mail that may be sent now, locked, and to whom; `org_kind` decides for what purpose."""

    mail: Mail
    mailbox: Mailbox
    org_kind: str


async def due(tx: AsyncSession) -> Due | None:
    """Lock and return a mail that is due, or was being sent by someone who is gone."""
    rows = await tx.execute(
        select(Mail, Mailbox, func.coalesce(tables.organisation.c.kind, ""))
        .join(Mailbox, Mailbox.id == Mail.mailbox_id)
        .outerjoin(tables.organisation, tables.organisation.c.id == Mailbox.organisation_id)
        .where(Mail.status.in_(_WAITING), Mail.next_at <= func.clock_timestamp())
        .order_by(Mail.next_at)
        .limit(1)
        .with_for_update(of=Mail, skip_locked=True)
    )
    row = rows.first()
    return Due(*row) if row else None


async def held(tx: AsyncSession, mail_id: str, token: str) -> Mail | None:
    """Return the mail while it is still this attempt's, locked."""
    found: Mail | None = await tx.scalar(
        select(Mail)
        .where(Mail.id == mail_id, Mail.token == token, Mail.status == MailStatus.SENDING)
        .with_for_update()
    )
    return found


async def asked(tx: AsyncSession, mailbox_id: str) -> int:
    """Return how many verifications a mailbox asked for within a day."""
    query = select(func.count()).where(
        Mail.mailbox_id == mailbox_id,
        Mail.kind == MailKind.VERIFY,
        Mail.created_at > func.now() - timedelta(days=1),
    )
    return await tx.scalar(query) or 0


class Told(NamedTuple):
    kind: str
    href: str


async def endpoint_event(tx: AsyncSession, organisation_id: str, message_id: str) -> Told | None:
    """Return what happened to an organisation's own endpoint."""
    query = select(Message.kind, Message.subject).where(
        Message.id == message_id,
        Message.custodian_id == organisation_id,
        Message.kind.in_(OF_ENDPOINTS),
    )
    row = (await tx.execute(query)).first()
    return Told(row.kind, f"/v1/webhook-endpoints/{row.subject}") if row else None
