"""Tables: what was told (message, feed), where it goes (endpoint, secret), and how it went."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column
from svckit import db

from notify_svc.domain.attempts import WINDOW, Outcome, Status
from notify_svc.domain.filters import Wanted
from notify_svc.domain.health import Breaker
from notify_svc.domain.recovery import Progress
from notify_svc.domain.standing import State, state_of
from notify_svc.domain.verification import Verification

_NONE = text("'{}'")


class Base(db.Base):
    __abstract__ = True
    metadata = MetaData(naming_convention=db.NAMING)


class Message(Base):
    """One event as partners are told it; `id` is the event's, `body` the same bytes for everyone."""

    __tablename__ = "message"
    __table_args__ = (
        Index("ix_message_person_id", "person_id", "occurred_at"),
        Index("ix_message_expires_at", "expires_at"),
        Index("ix_message_case_id", "case_id", postgresql_where=text("case_id IS NOT NULL")),
        Index(
            "ix_message_referral_id",
            "referral_id",
            postgresql_where=text("referral_id IS NOT NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(db.Id, primary_key=True)
    type: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(db.Id)
    version: Mapped[int] = mapped_column(Integer)
    # what the decision needs, again and again: at fan-out, at each read, at each attempt
    custodian_id: Mapped[str] = mapped_column(db.Id)
    person_id: Mapped[str | None] = mapped_column(db.Id)
    case_id: Mapped[str | None] = mapped_column(db.Id)
    referral_id: Mapped[str | None] = mapped_column(db.Id)
    parties: Mapped[list[str]] = mapped_column(ARRAY(db.Id))
    classes: Mapped[int] = mapped_column(Integer)
    # rank of v3-Confidentiality: N unless the event says otherwise
    confidentiality: Mapped[int] = mapped_column(SmallInteger, server_default=text("3"))
    # what filters ask for; the last names the classes that show the transition
    need_category: Mapped[str | None] = mapped_column(Text)
    transition: Mapped[str | None] = mapped_column(Text)
    transition_classes: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    body: Mapped[bytes] = mapped_column(LargeBinary)
    occurred_at: Mapped[datetime]
    # after this nothing of it is sent any more
    expires_at: Mapped[datetime]


class FeedHead(Base):
    """The last number given to a subscriber: the row's lock makes commit order number order."""

    __tablename__ = "feed_head"

    organisation_id: Mapped[str] = mapped_column(db.Id, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    # what was removed: up to which number, and until when it had been told
    forgotten_seq: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    forgotten_until: Mapped[datetime | None]


class FeedItem(Base):
    __tablename__ = "feed_item"
    __table_args__ = (
        Index("uq_feed_item_message", "message_id", "organisation_id", unique=True),
        Index("ix_feed_item_kind", "organisation_id", "kind", "seq"),
        Index(
            "ix_feed_item_need_category",
            *("organisation_id", "need_category", "seq"),
            postgresql_where=text("need_category IS NOT NULL"),
        ),
        Index(
            "ix_feed_item_transition",
            *("organisation_id", "transition", "seq"),
            postgresql_where=text("transition IS NOT NULL"),
        ),
    )

    organisation_id: Mapped[str] = mapped_column(db.Id, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    message_id: Mapped[str] = mapped_column(ForeignKey("message.id"), type_=db.Id)
    kind: Mapped[str] = mapped_column(Text)
    # rises with the number; null of what was told before this was kept: then when it happened
    told_at: Mapped[datetime | None] = mapped_column(server_default=func.clock_timestamp())
    need_category: Mapped[str | None] = mapped_column(Text)
    transition: Mapped[str | None] = mapped_column(Text)


class Access(Base):
    """What an organisation was told of, and whether it may still see it: a case, referral or person.

    `subject` is its id. One that ended is told once; it may come back, and end again.
    """

    __tablename__ = "access"
    __table_args__ = (
        Index("ix_access_person_id", "person_id"),
        Index("ix_access_case_id", "case_id", postgresql_where=text("case_id IS NOT NULL")),
    )

    organisation_id: Mapped[str] = mapped_column(db.Id, primary_key=True)
    subject: Mapped[str] = mapped_column(db.Id, primary_key=True)
    custodian_id: Mapped[str] = mapped_column(db.Id)
    person_id: Mapped[str | None] = mapped_column(db.Id)
    case_id: Mapped[str | None] = mapped_column(db.Id)
    referral_id: Mapped[str | None] = mapped_column(db.Id)
    # as one of the two sides: a standing of its own
    party: Mapped[bool]
    # how often it ended
    times: Mapped[int] = mapped_column(Integer, default=0)
    ended_at: Mapped[datetime | None]


class AccessCheck(Base):
    """When to look who may still see what is told of a person: something about it changed, or ends."""

    __tablename__ = "access_check"
    __table_args__ = (Index("ix_access_check_due_at", "due_at"),)

    person_id: Mapped[str] = mapped_column(db.Id, primary_key=True)
    due_at: Mapped[datetime] = mapped_column(primary_key=True)


class Endpoint(Base):
    __tablename__ = "webhook_endpoint"
    __table_args__ = (
        Index("ix_webhook_endpoint_organisation", "organisation_id", "id"),
        Index(
            "ix_webhook_endpoint_verify_at",
            "verify_at",
            postgresql_where=text("verify_at IS NOT NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(db.Id, primary_key=True)
    organisation_id: Mapped[str] = mapped_column(db.Id)
    version: Mapped[int] = mapped_column(Integer, default=1)
    url: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    # filters in their short form; none: everything
    kinds: Mapped[list[str]] = mapped_column(ARRAY(Text))
    case_ids: Mapped[list[str]] = mapped_column(ARRAY(db.Id), server_default=_NONE)
    referral_ids: Mapped[list[str]] = mapped_column(ARRAY(db.Id), server_default=_NONE)
    need_categories: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=_NONE)
    transitions: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=_NONE)
    # v1 (shared secret) or v1a (our private key, their public key)
    signature: Mapped[str] = mapped_column(Text)
    enabled: Mapped[bool]
    disabled_reason: Mapped[str | None] = mapped_column(Text)
    # none, or fifo: a key's next message after its predecessor has ended
    ordering: Mapped[str] = mapped_column(Text, server_default=text("'none'"))
    # of several waiting messages of one subject only the newest is sent
    coalesces: Mapped[bool] = mapped_column(server_default=text("false"))
    # the pace its owner asked for, and up to when it has been used up
    rate_per_s: Mapped[float | None] = mapped_column(Double)
    paced_at: Mapped[datetime | None]
    # attempts that may be in flight at once: halves on timeouts, grows on success
    window: Mapped[int] = mapped_column(SmallInteger, default=WINDOW)
    # open: nothing is sent until then; half-open: one probe is under way, until its lease ends
    breaker: Mapped[str] = mapped_column(
        Text, default=Breaker.CLOSED, server_default=text("'closed'")
    )
    breaker_until: Mapped[datetime | None]
    breaker_failures: Mapped[int] = mapped_column(Integer, default=0, server_default=text("0"))
    breaker_opened: Mapped[int] = mapped_column(Integer, default=0, server_default=text("0"))
    # how long the last answers took, and whether that is a matter for the slow lane
    recent_ms: Mapped[list[int]] = mapped_column(
        ARRAY(Integer), default=list, server_default=text("'{}'")
    )
    slow: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    # distinct messages that failed since the last success
    failed_messages: Mapped[int] = mapped_column(Integer, default=0)
    last_success_at: Mapped[datetime | None]
    # per cent of the way to being disabled that its owner was told of
    warned_percent: Mapped[int] = mapped_column(SmallInteger, default=0, server_default=text("0"))
    enabled_at: Mapped[datetime | None]
    # when to ask whose address it is, or when the asker's lease ends; null: it need not be asked
    verify_at: Mapped[datetime | None]
    verify_step: Mapped[int] = mapped_column(SmallInteger, default=0, server_default=text("0"))
    verify_token: Mapped[str | None] = mapped_column(db.Id)
    # what came of the last time: `domain.verification`
    verification_result: Mapped[str | None] = mapped_column(Text)
    verification_checked_at: Mapped[datetime | None]
    verified_at: Mapped[datetime | None]
    claimed_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]
    # what verifies the newest signature, where that is no secret (v1a)
    public_key: Mapped[str | None] = mapped_column(Text)
    # how it is reached: what may be shown, and what may not, under the key of the settings
    transport: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    sealed: Mapped[str | None] = mapped_column(Text)

    @property
    def state(self) -> State:
        return state_of(enabled=self.enabled, is_asked=self.verify_at is not None)

    @property
    def verification(self) -> Verification:
        return Verification(
            self.verification_result,
            self.verification_checked_at,
            self.verify_at,
            self.verified_at,
        )

    @property
    def filters(self) -> Wanted:
        """What goes to it, as the feed is asked for the same."""
        return Wanted(
            *(tuple(self.kinds), tuple(self.case_ids), tuple(self.referral_ids)),
            *(tuple(self.need_categories), tuple(self.transitions)),
        )


class Secret(Base):
    """A signing key of an endpoint, sealed; an old one stays in use until `not_after`."""

    __tablename__ = "webhook_secret"
    __table_args__ = (Index("ix_webhook_secret_endpoint", "endpoint_id"),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("webhook_endpoint.id"), type_=db.Id)
    value: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    not_after: Mapped[datetime | None]


class Delivery(Base):
    """One message for one endpoint. `next_at` is when to send, or when the sender's lease ends."""

    __tablename__ = "delivery"
    __table_args__ = (
        Index("uq_delivery_message", "message_id", "endpoint_id", unique=True),
        Index("ix_delivery_organisation", "organisation_id", "id"),
        Index("ix_delivery_endpoint", "endpoint_id", "id"),
        # the scheduler's path: what is due, or was being sent by someone who is gone
        Index(
            "ix_delivery_due",
            "endpoint_id",
            "next_at",
            postgresql_where=text("status IN ('pending', 'sending')"),
        ),
        # what a key of an ordered endpoint waits for
        Index(
            "ix_delivery_order",
            "endpoint_id",
            "order_key",
            "seq",
            postgresql_where=text("status IN ('pending', 'sending')"),
        ),
        # what is under way, for the window of each endpoint
        Index(
            "ix_delivery_in_flight",
            "endpoint_id",
            "next_at",
            postgresql_where=text("status = 'sending'"),
        ),
        Index("ix_delivery_held", "endpoint_id", postgresql_where=text("status = 'held'")),
    )

    id: Mapped[str] = mapped_column(db.Id, primary_key=True)
    organisation_id: Mapped[str] = mapped_column(db.Id)
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("webhook_endpoint.id"), type_=db.Id)
    message_id: Mapped[str] = mapped_column(ForeignKey("message.id"), type_=db.Id)
    # classes that the endpoint's filter asked about: they are needed beside the message's own
    asked_classes: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    # the case, or the subject of no case: what an ordered endpoint waits for
    order_key: Mapped[str] = mapped_column(db.Id)
    # in the order of fan-out, which is the order of commits
    seq: Mapped[int | None] = mapped_column(
        BigInteger, server_default=text("nextval('delivery_seq'::regclass)")
    )
    status: Mapped[Status]
    reason: Mapped[str | None] = mapped_column(Text)
    # failed attempts so far, as the schedule counts them
    step: Mapped[int] = mapped_column(SmallInteger, default=0)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    next_at: Mapped[datetime]
    token: Mapped[str | None] = mapped_column(db.Id)
    traceparent: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class Attempt(Base):
    """Written before the request is sent; the result is written by its id, which is the token."""

    __tablename__ = "delivery_attempt"
    __table_args__ = (
        Index("ix_delivery_attempt_delivery", "delivery_id", "number"),
        Index("ix_delivery_attempt_log", "organisation_id", "started_at", "id"),
        # room for the result beside the attempt: no index has to learn of it
        {"postgresql_with": {"fillfactor": 60}},
    )

    id: Mapped[str] = mapped_column(db.Id, primary_key=True)
    delivery_id: Mapped[str] = mapped_column(ForeignKey("delivery.id"), type_=db.Id)
    # the delivery's; null where a sender of before wrote it
    organisation_id: Mapped[str | None] = mapped_column(db.Id)
    number: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[Outcome]
    response_status: Mapped[int | None] = mapped_column(SmallInteger)
    error: Mapped[str | None] = mapped_column(Text)

    @property
    def duration_ms(self) -> int | None:
        """From the claim to the result written down; None for one whose result never came."""
        if self.ended_at is None:
            return None
        return round((self.ended_at - self.started_at) / timedelta(milliseconds=1))


class Recovery(Base):
    """A replay of a part of the feed to one endpoint; `delivery_id` is what it waits for."""

    __tablename__ = "recovery"
    __table_args__ = (
        Index("ix_recovery_endpoint", "endpoint_id", "id"),
        Index("ix_recovery_running", "id", postgresql_where=text("progress = 'running'")),
    )

    id: Mapped[str] = mapped_column(db.Id, primary_key=True)
    organisation_id: Mapped[str] = mapped_column(db.Id)
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("webhook_endpoint.id"), type_=db.Id)
    since: Mapped[datetime]
    until: Mapped[datetime]
    again: Mapped[bool]
    dry_run: Mapped[bool]
    progress: Mapped[Progress]
    # numbers of the feed: looked at up to here, to be looked at up to there
    seq: Mapped[int] = mapped_column(BigInteger)
    last_seq: Mapped[int] = mapped_column(BigInteger)
    counted: Mapped[int] = mapped_column(Integer, default=0)
    queued: Mapped[int] = mapped_column(Integer, default=0)
    skipped: Mapped[int] = mapped_column(Integer, default=0)
    delivery_id: Mapped[str | None] = mapped_column(db.Id)
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
