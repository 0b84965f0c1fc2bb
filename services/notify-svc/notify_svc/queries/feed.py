"""An organisation's events after a number."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sharing import Reader
from sharing.classes import DataClass
from sharing.compiler import Expression
from sharing.kept import Statement, at_least, given, kept
from sqlalchemy import ColumnElement, Text, any_, literal, or_, select, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from notify_svc.domain.filters import EVERYTHING, Wanted
from notify_svc.models import FeedHead, FeedItem, Message
from notify_svc.queries.visible import CLASSES, visible


class FeedRow(NamedTuple):
    seq: int
    body: bytes
    message_id: str
    visible: bool
    custodian_id: str
    person_id: str | None
    classes: int


class Window(NamedTuple):
    """The next numbers of a feed, looked at in one statement; what may not be seen is flagged."""

    rows: list[FeedRow]
    is_full: bool


async def window(
    session: AsyncSession, caller: Reader, *, after: int, limit: int, wanted: Wanted = EVERYTHING
) -> Window:
    """Return the next `limit` numbers after `after`, each decided for the caller's purpose.

    By a field that is not shown nothing is found: such rows are left out, where those of another
    filter are flagged.
    """
    values = {
        "after": after,
        "kinds": [kind for kind in wanted.kinds if not kind.endswith(".*")],
        "nouns": [f"{kind.removesuffix('*')}%" for kind in wanted.kinds if kind.endswith(".*")],
        **{name: list(getattr(wanted, name)) for name in _LISTS},
    }
    narrowed = tuple(name for name in ("kinds", *_LISTS) if getattr(wanted, name))
    found = await _window.rows(session, caller, values, narrowed, at_least(limit))
    rows = [FeedRow(*row) for row in found[:limit]]
    return Window(rows, len(rows) == limit)


_LISTS = ("case_ids", "referral_ids", "need_categories", "transitions")
_COLUMNS = {
    "case_ids": Message.case_id,
    "referral_ids": Message.referral_id,
    "need_categories": FeedItem.need_category,
    "transitions": FeedItem.transition,
}


@kept
def _window(reader: Reader, narrowed: tuple[str, ...], limit: int) -> Statement:
    asked = [_ASKS[name] for name in narrowed if name in _ASKS]
    needed: Expression = CLASSES
    for classes in asked:
        needed = needed.op("|")(classes)
    may = visible(reader, needed)
    query = (
        select(
            *(FeedItem.seq, Message.body, Message.id, true() if asked else may),
            *(Message.custodian_id, Message.person_id, Message.classes),
        )
        .join(Message, Message.id == FeedItem.message_id)
        .where(FeedItem.organisation_id == reader.organisation_id, FeedItem.seq > given("after"))
        .order_by(FeedItem.seq)
        .limit(limit)
    )
    for name in narrowed:
        query = query.where(_narrow(name))
    return query.where(may) if asked else query


# the classes of the fields that a filter looks at
_ASKS: Mapping[str, Any] = {
    "need_categories": literal(int(DataClass.NEEDS)),
    "transitions": Message.__table__.c.transition_classes,
}


def _narrow(name: str) -> ColumnElement[bool]:
    if name != "kinds":
        return _COLUMNS[name] == any_(given(name, ARRAY(Text)))
    exact, begins = given("kinds", ARRAY(Text)), given("nouns", ARRAY(Text))
    return or_(FeedItem.kind == any_(exact), FeedItem.kind.like(any_(begins)))


class Head(NamedTuple):
    """The last number given to an organisation, and the last that was removed by its age."""

    seq: int
    forgotten_seq: int


async def head(session: AsyncSession, organisation_id: str) -> Head:
    """Return where an organisation's feed ends and begins; 0 before the first."""
    found = await session.execute(
        select(FeedHead.seq, FeedHead.forgotten_seq).where(
            FeedHead.organisation_id == organisation_id
        )
    )
    row = found.first()
    return Head(*row) if row else Head(0, 0)


async def heads(session: AsyncSession, organisations: Collection[str]) -> dict[str, int]:
    """Return the last number of each of these organisations that has one."""
    found = await session.execute(
        select(FeedHead.organisation_id, FeedHead.seq).where(
            FeedHead.organisation_id.in_(organisations)
        )
    )
    return {row.organisation_id: row.seq for row in found}
