"""Who reacts to what: the mirror of `api`.

referral.v1  referral.*                              the need follows, the timeline grows
referral.v1  referral.changed, message.sent          the timeline grows
sharing.v1   organisation.*, agreement.*, consent.*  keep the replica of sharing
sharing.v1   grant.*                                 the same, and open lists to the recipient
"""

from collections.abc import Mapping

from sharing import replica
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.consume import Handler, Received

from case_svc.actions import readers, referrals

TOPICS = ["referral.v1", "sharing.v1"]
# a draft is its author's alone, so `referral.drafted` is not entered anywhere
_FOLLOWED = (
    "requested",
    "accepted",
    "rejected",
    "cancelled",
    "started",
    "held",
    "resumed",
    "failed",
    "completed",
    "voided",
)


def _follow(verb: str) -> Handler:
    async def follow(tx: AsyncSession, received: Received) -> None:
        await referrals.follow(tx, verb, received.data)

    return follow


def _note(happened: str) -> Handler:
    async def note(tx: AsyncSession, received: Received) -> None:
        await referrals.note(tx, happened, received.data)

    return note


HANDLERS: Mapping[str, Handler] = {
    **{f"org.careloop.referral.{verb}.v1": _follow(verb) for verb in _FOLLOWED},
    "org.careloop.referral.changed.v1": _note("referral.changed"),
    "org.careloop.message.sent.v1": _note("message.sent"),
    **replica.handlers(on_grant=readers.open_to, seals=False),
}
