"""An organisation's events after a number."""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.identity import Caller

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
    session: AsyncSession, caller: Caller, *, after: int, limit: int, kinds: Collection[str]
) -> Window:
    """Return the next `limit` numbers after `after`, each decided for the caller's purpose."""
    query = (
        select(
            *(FeedItem.seq, Message.body, Message.id, visible(caller)),
            *(Message.custodian_id, Message.person_id, Message.classes),
        )
        .join(Message, Message.id == FeedItem.message_id)
        .where(FeedItem.organisation_id == caller.organisation_id, FeedItem.seq > after)
        .order_by(FeedItem.seq)
        .limit(limit)
    )
    if kinds:
        exact = [kind for kind in kinds if not kind.endswith(".*")]
        nouns = [kind.removesuffix("*") for kind in kinds if kind.endswith(".*")]
        query = query.where(
            or_(FeedItem.kind.in_(exact), *(FeedItem.kind.startswith(noun) for noun in nouns))
        )
    rows = [FeedRow(*row) for row in (await session.execute(query)).all()]
    return Window(rows, len(rows) == limit)


async def head(session: AsyncSession, organisation_id: str) -> int:
    """Return the last number given to an organisation, 0 before the first."""
    found = await session.scalar(
        select(FeedHead.seq).where(FeedHead.organisation_id == organisation_id)
    )
    return found or 0


async def heads(session: AsyncSession, organisations: Collection[str]) -> dict[str, int]:
    """Return the last number of each of these organisations that has one."""
    found = await session.execute(
        select(FeedHead.organisation_id, FeedHead.seq).where(
            FeedHead.organisation_id.in_(organisations)
        )
    )
    return {row.organisation_id: row.seq for row in found}
