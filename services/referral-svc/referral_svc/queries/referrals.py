"""Referrals as the caller may see them: the row's mask comes from the one policy, in SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sharing import Reader, sql
from sharing.classes import DataClass
from sharing.kept import AFTER_ALL, Statement, at_least, given, kept, narrowing
from sqlalchemy import (
    ColumnElement,
    Integer,
    Text,
    and_,
    any_,
    case,
    func,
    null,
    or_,
    select,
    true,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.errors import NotFound
from svckit.identity import Caller

from referral_svc.domain.needs import NeedCategory
from referral_svc.domain.referral import Party, Status
from referral_svc.models import Message, Referral, ReferralReader, Transition


class Seen(NamedTuple):
    """A referral with the mask of the data classes that the caller sees of it."""

    row: Referral
    mask: int


# a third party learns of a referral as a step of coordination, or by what came of it
_ANY_OF = int(DataClass.COORDINATION | DataClass.OUTCOME)

# a draft is not yet told to its owner
_TOLD_OWNER = case((Referral.requested_at.is_not(None), Referral.owner_id), else_=null())
_PARTIES = (Referral.requester_id, _TOLD_OWNER)
_PROTECTED = sql.protected(case=Referral.case_id)


@dataclass(frozen=True)
class Filters:
    role: Party | None = None
    status: Sequence[Status] = ()
    person_id: str | None = None
    case_id: str | None = None
    service_id: str | None = None
    need_category: NeedCategory | None = None
    overdue: bool | None = None


def _visible(reader: Reader) -> tuple[Statement, ColumnElement[int]]:
    """Return the statement of every referral the reader may see with its mask of data classes."""
    seen = sql.seen(
        reader,
        custodian=Referral.custodian_id,
        person=Referral.person_id,
        case=Referral.case_id,
        parties=_PARTIES,
        referral=Referral.id,
        confidentiality=_PROTECTED,
    )
    mask: ColumnElement[int] = seen.c.mask
    needed = type_coerce(Referral.required_classes, Integer)
    statement = (
        select(Referral, mask)
        .join(seen, true())
        .where(sql.may_see_any(mask, _ANY_OF), sql.may_see(mask, needed))
    )
    return statement, mask


async def get_referral(session: AsyncSession, caller: Caller, referral_id: str) -> Seen:
    """Return the referral and the mask. Raises NotFound, also for what is not the caller's."""
    row = await _referral.first(session, caller, {"referral_id": referral_id})
    if row is None:
        raise NotFound
    return Seen(*row)


@kept
def _referral(reader: Reader) -> Statement:
    statement, _ = _visible(reader)
    return statement.where(Referral.id == given("referral_id"))


async def get_for_update(tx: AsyncSession, caller: Caller, referral_id: str) -> Referral:
    """Return the referral, locked until the commit. Raises NotFound."""
    row = await _referral_locked.locked(tx, caller, {"referral_id": referral_id})
    if row is None:
        raise NotFound
    found: Referral = row[0]
    return found


@kept
def _referral_locked(reader: Reader) -> Statement:
    return _referral.build(reader).with_for_update(key_share=True, of=Referral)


async def list_referrals(
    session: AsyncSession,
    caller: Caller,
    filters: Filters,
    *,
    now: datetime,
    limit: int,
    after: str | None,
) -> Sequence[Seen]:
    """Return up to `limit` rows, newest first; the walk starts in the caller's reader rows."""
    values, names = _given(filters, now)
    values["after"] = after or AFTER_ALL
    rows = await _page.rows(session, caller, values, names, at_least(limit))
    return [Seen(*row) for row in rows[:limit]]


@kept
def _page(reader: Reader, names: frozenset[str], limit: int) -> Statement:
    return (
        _listed(reader, names)
        .where(ReferralReader.referral_id < given("after"))
        .order_by(ReferralReader.referral_id.desc())
        .limit(limit)
    )


async def count_referrals(
    session: AsyncSession, caller: Caller, filters: Filters, *, now: datetime
) -> int:
    """Return how many referrals the same filters list."""
    [[counted]] = await _counted.rows(session, caller, *_given(filters, now))
    return int(counted)


@kept
def _counted(reader: Reader, names: frozenset[str]) -> Statement:
    listed = _listed(reader, names)
    return listed.with_only_columns(func.count(), maintain_column_froms=True)


def _given(filters: Filters, now: datetime) -> tuple[dict[str, Any], frozenset[str]]:
    """Return values, and the names of what narrows; some of these say all there is to say."""
    values = narrowing(filters)
    names = set(values) - {"role", "overdue"}
    if filters.status:
        values["status"] = [str(status) for status in filters.status]
    else:
        names.discard("status")
    if filters.role:
        names.add(filters.role)
    if filters.overdue is not None:
        values["now"] = now
        names.add("late" if filters.overdue else "in time")
    return values, frozenset(names)


def _listed(reader: Reader, names: frozenset[str]) -> Statement:
    statement, mask = _visible(reader)
    joined = statement.join(
        ReferralReader,
        and_(
            sql.looked_up(Referral.id, ReferralReader.referral_id),
            ReferralReader.organisation_id == reader.organisation_id,
        ),
    )
    return joined.where(*_conditions(reader, names, mask))


def _conditions(
    reader: Reader, names: frozenset[str], mask: ColumnElement[int]
) -> list[ColumnElement[bool]]:
    """A filter on a hidden field matches nothing."""
    late = _overdue(given("now", Referral.accept_by.type))
    of: dict[str, tuple[str, ColumnElement[bool]]] = {
        Party.REQUESTER: ("envelope", Referral.requester_id == reader.organisation_id),
        Party.OWNER: ("envelope", Referral.owner_id == reader.organisation_id),
        "person_id": ("envelope", Referral.person_id == given("person_id")),
        "case_id": ("envelope", Referral.case_id == given("case_id")),
        "status": ("outcome", Referral.status == any_(given("status", ARRAY(Text)))),
        "service_id": ("coordination", Referral.service_id == given("service_id")),
        "need_category": ("needs", Referral.need_category == given("need_category")),
        "late": ("coordination", late),
        "in time": ("coordination", ~late),
    }
    return [
        and_(sql.may_filter(mask, needed), condition)
        for name, (needed, condition) in of.items()
        if name in names
    ]


def _overdue(now: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Say `domain.referral.is_overdue` in SQL; a test keeps the two together."""
    return or_(
        and_(
            Referral.status == Status.REQUESTED,
            func.coalesce(Referral.accept_by, now) < now,
        ),
        and_(Referral.status == Status.ACCEPTED, func.coalesce(Referral.start_by, now) < now),
    )


async def list_transitions(session: AsyncSession, referral_id: str) -> Sequence[Transition]:
    """Return the moves of a referral the caller was shown before, oldest first."""
    statement = (
        select(Transition).where(Transition.referral_id == referral_id).order_by(Transition.version)
    )
    return (await session.scalars(statement)).all()


async def list_messages(
    session: AsyncSession, referral_id: str, *, limit: int, after: str | None
) -> Sequence[Message]:
    """Return up to `limit` messages of a referral the caller was shown before, newest first."""
    statement = select(Message).where(Message.referral_id == referral_id)
    if after is not None:
        statement = statement.where(Message.id < after)
    return (await session.scalars(statement.order_by(Message.id.desc()).limit(limit))).all()
