"""The inbox of a worker: what its organisation may still see, newest first."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sharing import DataClass, Reader, sql, tables
from sharing.kept import AFTER_ALL, Statement, at_least, given, kept
from sqlalchemy import ColumnElement, Text, and_, any_, false, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.errors import NotFound
from svckit.identity import Caller

from notify_svc.domain.inbox import About, Kind
from notify_svc.models.inbox import ContactBan, Duty, InboxItem, InboxMark
from notify_svc.queries.visible import mask, visible


@dataclass(frozen=True)
class Wanted:
    """Whose inbox, and what of it; `unread` True leaves out what was read."""

    whose: str
    kind: Kind | None = None
    unread: bool = False


class Notice(NamedTuple):
    """An item as one worker has it; what it says of contact is only what the reader may know."""

    item: InboxItem
    read_at: Any
    done_at: Any
    is_prohibited: bool
    may_contact: bool


class Total(NamedTuple):
    kind: Kind
    total: int
    unread: int


async def list_page(
    session: AsyncSession, caller: Caller, wanted: Wanted, *, limit: int, before: str | None
) -> list[Notice]:
    """Return one row more than the limit: what is neither done nor over."""
    values = {"whose": wanted.whose, "before": before or AFTER_ALL, "kind": wanted.kind}
    by_kind = wanted.kind is not None
    found = await _page.rows(session, caller, values, by_kind, wanted.unread, at_least(limit + 1))
    return [Notice(*row) for row in found[: limit + 1]]


@kept
def _page(reader: Reader, by_kind: bool, unread: bool, limit: int) -> Statement:  # noqa: FBT001  # what a kept read is known by
    query = _shown(reader).where(InboxItem.id < given("before"))
    if by_kind:
        query = query.where(InboxItem.kind == given("kind"))
    if unread:
        query = query.where(InboxMark.read_at.is_(None))
    return query.order_by(InboxItem.id.desc()).limit(limit)


async def get(session: AsyncSession, caller: Caller, whose: str, item_id: str) -> Notice:
    """Return an item of the worker, done or not. Raises NotFound."""
    row = await _one.first(session, caller, {"whose": whose, "item_id": item_id})
    if row is None:
        raise NotFound
    return Notice(*row)


@kept
def _one(reader: Reader) -> Statement:
    return _notices(reader).where(InboxItem.id == given("item_id"))


async def totals(session: AsyncSession, caller: Caller, whose: str) -> list[Total]:
    """Return how many there are of each kind, and how many of them unread."""
    found = await _totals.rows(session, caller, {"whose": whose})
    return [Total(*row) for row in found]


@kept
def _totals(reader: Reader) -> Statement:
    unread = func.count().filter(InboxMark.read_at.is_(None))
    return (
        select(InboxItem.kind, func.count(), unread)
        .select_from(InboxItem)
        .outerjoin(InboxMark, _of_worker())
        .where(*_mine(reader), InboxItem.withdrawn_at.is_(None), InboxMark.done_at.is_(None))
        .group_by(InboxItem.kind)
    )


async def to_tell(
    tx: AsyncSession, reader: Reader, whose: str, kinds: Collection[str]
) -> Sequence[InboxItem]:
    """Return what a digest tells a worker: unread, of these kinds, about nobody who is left alone."""
    values = {"whose": whose, "kinds": list(kinds)}
    return [item for (item,) in await _to_tell.rows(tx, reader, values)]


@kept
def _to_tell(reader: Reader) -> Statement:
    return _tellable(reader).where(
        InboxItem.kind == any_(given("kinds", ARRAY(Text))), ~_is_banned()
    )


class Standing(NamedTuple):
    """Whether a mail of one item is still to be sent, and whether it must not be."""

    item: InboxItem
    is_banned: bool


async def standing(tx: AsyncSession, reader: Reader, whose: str, item_id: str) -> Standing | None:
    """Return the item while the worker is still to be told of it."""
    row = await _standing.first(tx, reader, {"whose": whose, "item_id": item_id})
    return Standing(*row) if row else None


@kept
def _standing(reader: Reader) -> Statement:
    return (
        _tellable(reader)
        .add_columns(_is_banned().label("banned"))
        .where(InboxItem.id == given("item_id"))
    )


def _tellable(reader: Reader) -> Statement:
    query = select(InboxItem).outerjoin(InboxMark, _of_worker())
    unread = InboxMark.read_at.is_(None)
    return query.where(*_mine(reader), InboxItem.withdrawn_at.is_(None), unread).order_by(
        InboxItem.id
    )


def _shown(reader: Reader) -> Statement:
    is_open = and_(InboxItem.withdrawn_at.is_(None), InboxMark.done_at.is_(None))
    return _notices(reader).where(is_open)


def _notices(reader: Reader) -> Statement:
    knows_contact = sql.may_see(mask(reader, None, InboxItem), int(DataClass.CONTACT))
    by_referral = _bans().where(ContactBan.source_id == InboxItem.referral_id).exists()
    is_prohibited = or_(by_referral, and_(knows_contact, _bans().exists()))
    may_contact = and_(InboxItem.person_id.is_not(None), knows_contact, ~_bans().exists())
    return (
        select(
            InboxItem,
            InboxMark.read_at,
            InboxMark.done_at,
            func.coalesce(is_prohibited, false()).label("prohibited"),
            func.coalesce(may_contact, false()).label("contact"),
        )
        .outerjoin(InboxMark, _of_worker())
        .where(*_mine(reader))
    )


def _mine(reader: Reader) -> list[ColumnElement[bool]]:
    """Of the organisation, for this worker or for everyone, and still to be seen."""
    whose = given("whose", tables.TEXT)
    return [
        InboxItem.organisation_id == sql.organisation(reader),
        or_(InboxItem.worker_key.is_(None), InboxItem.worker_key == whose),
        visible(reader, told=InboxItem),
    ]


def _of_worker() -> ColumnElement[bool]:
    whose = given("whose", tables.TEXT)
    return and_(InboxMark.item_id == InboxItem.id, InboxMark.whose == whose)


def _bans() -> Any:
    return (
        select(ContactBan.source_id)
        .where(ContactBan.person_id == InboxItem.person_id)
        .correlate(InboxItem)
    )


def _is_banned() -> ColumnElement[bool]:
    """Nobody may contact the person; of a sealed case nobody outside is told who it is."""
    found: ColumnElement[bool] = or_(InboxItem.person_id.is_(None), _bans().exists())
    return found


async def duty_for_update(tx: AsyncSession, subject: str, about: About) -> Duty | None:
    """Return what is to be done about the task or referral, locked."""
    found: Duty | None = await tx.scalar(
        select(Duty).where(Duty.subject == subject, Duty.about == about).with_for_update()
    )
    return found


async def due(tx: AsyncSession, *, limit: int) -> Sequence[Duty]:
    """Lock and return what the clock has to tell of; what somebody else holds is left to them."""
    query = select(Duty).where(Duty.next_at <= func.clock_timestamp()).order_by(Duty.next_at)
    return (await tx.scalars(query.limit(limit).with_for_update(skip_locked=True))).all()
