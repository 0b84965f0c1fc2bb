"""Which policy is in force, for one process: read now and then, told to every task that decides.

    Service(..., rules=following.of_replica)

A process reads the version some times a second and the text when it is another one; `svckit.rights`
says when. What this release cannot read is not left aside: nothing is decided by less.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import structlog
from prometheus_client import Gauge
from sqlalchemy import case, select
from sqlalchemy.ext.asyncio import AsyncSession

from sharing import policy, tables
from sharing.policy import InForce, Policy, PolicyUnreadable


class Published(NamedTuple):
    """A version, and the text when it is not the version that is known already."""

    version: str
    text: str | None


Find = Callable[[AsyncSession, str], Awaitable[Published | None]]
_log = structlog.get_logger("policy")
_UNREADABLE = Gauge("careloop_policy_unreadable", "1: the policy in force is beyond this release")


async def published(session: AsyncSession, known: str) -> Published | None:
    """Return the policy in force as the replica has it; None: there never was a publication."""
    table = tables.policy
    found = select(
        table.c.version, case((table.c.version != known, table.c.canonical)).label("canonical")
    )
    row = (await session.execute(found)).first()
    return Published(*row) if row else None


class Following:
    """Keeps the policy in force in memory; `svckit.rights.Rules` is what it is used as."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._known: InForce | None = None

    async def read(self, session: AsyncSession) -> None:
        """Learn which policy is in force. Raises what the database raises."""
        found = await self._find(session, self._known.version if self._known else "")
        if found is None:
            self._known = policy.own()
        elif found.text is not None:
            self._known = _understood(found.version, found.text)
        self.tell()

    def tell(self) -> str | None:
        """Let this task decide by what was read; return the code of why it cannot."""
        assert self._known is not None
        policy.decide_by(self._known)
        return PolicyUnreadable.code if self._known.policy is None else None

    def version(self) -> str:
        """Return the version that this task decides by."""
        return policy.in_force().version


def of_replica() -> Following:
    return Following(published)


def _understood(version: str, text: str) -> InForce:
    found: Policy | None = None
    try:
        found = Policy.of_publication(text, version)
    except PolicyUnreadable:
        _log.error("the policy in force cannot be read by this release", version=version)
    else:
        _log.info("policy in force", version=version)
    _UNREADABLE.set(found is None)
    return InForce(version, found)
