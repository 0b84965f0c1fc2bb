"""What reaches this service: everything that is told onward, and who may see what."""

from collections.abc import Mapping

from sharing import replica
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.consume import Handler, Received

from notify_svc.actions import fanout
from notify_svc.domain.kinds import TOLD, full

TOPICS = (*TOLD, "sharing.v1")


async def tell(tx: AsyncSession, event: Received) -> None:
    """Tell everyone who may learn of it."""
    await fanout.tell(tx, event)


HANDLERS: Mapping[str, Handler] = {
    **replica.handlers(),
    **{full(kind): tell for kinds in TOLD.values() for kind in kinds},
}
