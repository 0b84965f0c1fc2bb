"""Referrals as the caller may see them: the row's mask comes from the one policy, in SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sharing import sql
from sharing.classes import DataClass
from sqlalchemy import (
    ColumnElement,
    Integer,
    Row,
    Select,
    and_,
    case,
    func,
    null,
    or_,
    select,
    true,
    type_coerce,
)
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.errors import NotFound
from svckit.identity import Caller

from referral_svc.domain.needs import NeedCategory
from referral_svc.domain.referral import Party, Status
from referral_svc.models import Message, Referral, ReferralReader, Transition

Seen = Row[Referral, int]

# a third party learns of a referral as a step of coordination, or by what came of it
_ANY_OF = int(DataClass.COORDINATION | DataClass.OUTCOME)

# a draft is not yet told to its owner
_TOLD_OWNER = case((Referral.requested_at.is_not(None), Referral.owner_id), else_=null())
_PARTIES = (Referral.requester_id, _TOLD_OWNER)


@dataclass(frozen=True)
class Filters:
    role: Party | None = None
    status: Sequence[Status] = ()
    person_id: str | None = None
    case_id: str | None = None
    service_id: str | None = None
    need_category: NeedCategory | None = None
    overdue: bool | None = None


def visible(caller: Caller) -> tuple[Select[Referral, int], ColumnElement[int]]:
    """Return the statement of every referral the caller may see with its mask of data classes."""
    seen = sql.seen(
        caller,
        custodian=Referral.custodian_id,
        person=Referral.person_id,
        case=Referral.case_id,
        parties=_PARTIES,
        referral=Referral.id,
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
    statement, _ = visible(caller)
    row = (await session.execute(statement.where(Referral.id == referral_id))).first()
    if row is None:
        raise NotFound
    return row


async def get_for_update(tx: AsyncSession, caller: Caller, referral_id: str) -> Referral:
    """Return the referral, locked until the commit. Raises NotFound."""
    statement, _ = visible(caller)
    locked = statement.where(Referral.id == referral_id).with_for_update(
        key_share=True, of=Referral
    )
    row = (await tx.execute(locked)).first()
    if row is None:
        raise NotFound
    return row[0]


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
    statement = _listed(caller, filters, now)
    if after is not None:
        statement = statement.where(ReferralReader.referral_id < after)
    page = statement.order_by(ReferralReader.referral_id.desc()).limit(limit)
    return (await session.execute(page)).all()


async def count_referrals(
    session: AsyncSession, caller: Caller, filters: Filters, *, now: datetime
) -> int:
    """Return how many referrals the same filters list."""
    counted = _listed(caller, filters, now).with_only_columns(
        func.count(), maintain_column_froms=True
    )
    return (await session.execute(counted)).scalar_one()


def _listed(caller: Caller, filters: Filters, now: datetime) -> Select[Referral, int]:
    statement, mask = visible(caller)
    joined = statement.join(
        ReferralReader,
        and_(
            ReferralReader.referral_id == Referral.id,
            ReferralReader.organisation_id == caller.organisation_id,
        ),
    )
    return joined.where(*_conditions(caller, filters, mask, now))


def _conditions(
    caller: Caller, filters: Filters, mask: ColumnElement[int], now: datetime
) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if filters.role is Party.REQUESTER:
        found.append(Referral.requester_id == caller.organisation_id)
    if filters.role is Party.OWNER:
        found.append(Referral.owner_id == caller.organisation_id)
    if filters.person_id:
        found.append(Referral.person_id == filters.person_id)
    if filters.case_id:
        found.append(Referral.case_id == filters.case_id)
    if filters.status:
        found += [sql.may_filter(mask, "outcome"), Referral.status.in_(filters.status)]
    if filters.service_id:
        found += [
            sql.may_filter(mask, "coordination"),
            Referral.service_id == filters.service_id,
        ]
    if filters.need_category:
        found += [
            sql.may_filter(mask, "needs"),
            Referral.need_category == filters.need_category,
        ]
    if filters.overdue is not None:
        late = _overdue(now)
        found += [sql.may_filter(mask, "coordination"), late if filters.overdue else ~late]
    return found


def _overdue(now: datetime) -> ColumnElement[bool]:
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
