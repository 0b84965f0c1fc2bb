"""Who reacts to what: the mirror of `api`.

case.v1      case.opened, case.changed, case.reopened   note the case and its custodian
case.v1      case.*                                     how confidential, and whether it is sealed
sharing.v1   organisation.*, agreement.*, consent.*     keep the replica of sharing
sharing.v1   grant.*                                    the same, and open referrals to the reader
"""

from sharing import replica
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.consume import Handler, Received

from referral_svc.actions import readers
from referral_svc.actions.replica import note_case

TOPICS = ["case.v1", "sharing.v1"]


async def case_told(tx: AsyncSession, received: Received) -> None:
    await replica.protect(tx, received)
    await note_case(tx, received.data)


HANDLERS: dict[str, Handler] = {
    **replica.handlers(on_grant=readers.admit),
    "org.careloop.case.opened.v1": case_told,
    "org.careloop.case.changed.v1": case_told,
    "org.careloop.case.reopened.v1": case_told,
}
