"""Tables of the worker inbox: what is to be done until when, what is told of it, and by what mail."""

from datetime import datetime, time
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, SmallInteger, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column
from svckit import db

from notify_svc.domain.inbox import About, Kind
from notify_svc.domain.mailbox import MailKind, MailOutcome, MailStatus
from notify_svc.models import Base


class Decided(Base):
    """What the decision needs of the task or referral that a row is about, as `Message` has it."""

    __abstract__ = True

    subject: Mapped[str] = mapped_column(db.Id)
    href: Mapped[str] = mapped_column(Text)
    custodian_id: Mapped[str] = mapped_column(db.Id)
    person_id: Mapped[str | None] = mapped_column(db.Id)
    case_id: Mapped[str | None] = mapped_column(db.Id)
    referral_id: Mapped[str | None] = mapped_column(db.Id)
    parties: Mapped[list[str]] = mapped_column(ARRAY(db.Id))
    classes: Mapped[int] = mapped_column(Integer)
    confidentiality: Mapped[int] = mapped_column(SmallInteger)


class Duty(Decided):
    """What an organisation, or a worker of it, has to do; `next_at` is when the clock tells again."""

    __tablename__ = "inbox_duty"
    __table_args__ = (
        Index("ix_inbox_duty_next", "next_at", postgresql_where=text("next_at IS NOT NULL")),
    )

    subject: Mapped[str] = mapped_column(db.Id, primary_key=True)
    about: Mapped[About] = mapped_column(primary_key=True)
    organisation_id: Mapped[str] = mapped_column(db.Id)
    worker_key: Mapped[str | None] = mapped_column(db.Id)
    # the event that said so
    cause: Mapped[str] = mapped_column(db.Id)
    due_at: Mapped[datetime | None]
    next_at: Mapped[datetime | None]


class InboxItem(Decided):
    """One notice for a worker, or without `worker_key` for everyone of the organisation."""

    __tablename__ = "inbox_item"
    __table_args__ = (
        # each notice once, however often its cause is heard of
        Index("uq_inbox_item_cause", "organisation_id", "subject", "kind", "cause", unique=True),
        Index("ix_inbox_item_page", "organisation_id", "id"),
        Index("ix_inbox_item_person", "person_id", "organisation_id"),
    )

    id: Mapped[str] = mapped_column(db.Id, primary_key=True)
    organisation_id: Mapped[str] = mapped_column(db.Id)
    worker_key: Mapped[str | None] = mapped_column(db.Id)
    kind: Mapped[Kind]
    about: Mapped[About]
    # the event that it is told because of, or that set the deadline
    cause: Mapped[str] = mapped_column(db.Id)
    due_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]


class InboxMark(Base):
    """What one worker has read or done; `whose` is a worker's key or `team`."""

    __tablename__ = "inbox_mark"
    __table_args__ = (Index("ix_inbox_mark_organisation", "organisation_id"),)

    item_id: Mapped[str] = mapped_column(ForeignKey("inbox_item.id"), primary_key=True, type_=db.Id)
    whose: Mapped[str] = mapped_column(db.Id, primary_key=True)
    organisation_id: Mapped[str] = mapped_column(db.Id)
    read_at: Mapped[datetime]
    done_at: Mapped[datetime | None]


class ContactBan(Base):
    """A record or a referral that says: nobody may contact the person."""

    __tablename__ = "contact_ban"
    __table_args__ = (Index("ix_contact_ban_person", "person_id"),)

    source_id: Mapped[str] = mapped_column(db.Id, primary_key=True)
    person_id: Mapped[str] = mapped_column(db.Id)


class Mailbox(Base):
    """Where and when one worker, the team or its operations are written to."""

    __tablename__ = "mailbox"
    __table_args__ = (Index("uq_mailbox_whose", "organisation_id", "whose", unique=True),)

    id: Mapped[str] = mapped_column(db.Id, primary_key=True)
    organisation_id: Mapped[str] = mapped_column(db.Id)
    whose: Mapped[str] = mapped_column(db.Id)
    version: Mapped[int] = mapped_column(Integer)
    email: Mapped[str | None] = mapped_column(Text)
    verified_at: Mapped[datetime | None]
    asked_at: Mapped[datetime | None]
    # kind of notice -> immediate | digest | off
    modes: Mapped[dict[str, Any]]
    time_zone: Mapped[str] = mapped_column(Text)
    digest_hour: Mapped[int] = mapped_column(SmallInteger)
    quiet_from: Mapped[time | None]
    quiet_to: Mapped[time | None]
    # the next digest; none where nothing is told by one
    digest_at: Mapped[datetime | None]
    # of operations: the last number of the feed that was looked at
    seen_seq: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Mail(Base):
    """One mail to a mailbox. What it says is decided at the attempt."""

    __tablename__ = "mail"
    __table_args__ = (
        # each mail once: of an item, of a day, of an event
        Index("uq_mail_cause", "mailbox_id", "cause", unique=True),
        Index("ix_mail_due", "next_at", postgresql_where=text("status IN ('pending', 'sending')")),
    )

    id: Mapped[str] = mapped_column(db.Id, primary_key=True)
    mailbox_id: Mapped[str] = mapped_column(ForeignKey("mailbox.id"), type_=db.Id)
    kind: Mapped[MailKind]
    cause: Mapped[str] = mapped_column(Text)
    status: Mapped[MailStatus]
    reason: Mapped[str | None] = mapped_column(Text)
    step: Mapped[int] = mapped_column(SmallInteger)
    attempts: Mapped[int] = mapped_column(Integer)
    next_at: Mapped[datetime]
    token: Mapped[str | None] = mapped_column(db.Id)
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class MailAttempt(Base):
    """Written before the mail is handed over; what came of it is written by the token, its id."""

    __tablename__ = "mail_attempt"
    __table_args__ = (Index("ix_mail_attempt_mail", "mail_id", "number"),)

    id: Mapped[str] = mapped_column(db.Id, primary_key=True)
    mail_id: Mapped[str] = mapped_column(ForeignKey("mail.id"), type_=db.Id)
    number: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[MailOutcome]
    code: Mapped[int | None] = mapped_column(SmallInteger)
    error: Mapped[str | None] = mapped_column(Text)
