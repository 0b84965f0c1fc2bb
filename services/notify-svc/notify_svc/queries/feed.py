"""An organisation's events after a number."""

from collections.abc import Collection
from typing import NamedTuple

from sharing import Reader
from sharing.kept import Statement, at_least, given, kept
from sqlalchemy import Text, any_, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from notify_svc.models import FeedHead, FeedItem, Message
from notify_svc.queries.visible import visible


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
    session: AsyncSession, caller: Reader, *, after: int, limit: int, kinds: Collection[str]
) -> Window:
    """Return the next `limit` numbers after `after`, each decided for the caller's purpose."""
    values = {
        "after": after,
        "kinds": [kind for kind in kinds if not kind.endswith(".*")],
        "nouns": [f"{kind.removesuffix('*')}%" for kind in kinds if kind.endswith(".*")],
    }
    found = await _window.rows(session, caller, values, "kinds" if kinds else None, at_least(limit))
    rows = [FeedRow(*row) for row in found[:limit]]
    return Window(rows, len(rows) == limit)


@kept
def _window(reader: Reader, narrowed: str | None, limit: int) -> Statement:
    query = (
        select(
            *(FeedItem.seq, Message.body, Message.id, visible(reader)),
            *(Message.custodian_id, Message.person_id, Message.classes),
        )
        .join(Message, Message.id == FeedItem.message_id)
        .where(FeedItem.organisation_id == reader.organisation_id, FeedItem.seq > given("after"))
        .order_by(FeedItem.seq)
        .limit(limit)
    )
    if narrowed is None:
        return query
    exact, begins = given("kinds", ARRAY(Text)), given("nouns", ARRAY(Text))
    return query.where(or_(FeedItem.kind == any_(exact), FeedItem.kind.like(any_(begins))))


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
