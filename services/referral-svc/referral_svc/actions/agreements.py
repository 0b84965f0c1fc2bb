"""What must be known here before a referral may be made, and is told by other services."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from referral_svc.domain.referral import NoAgreement
from referral_svc.queries import network

T = TypeVar("T")
_POLL_S = 0.05


async def need(tx: AsyncSession, requester_id: str, owner_id: str, wait_s: float) -> None:
    """Raise NoAgreement unless an agreement in force lets the one refer to the other."""

    async def agreed() -> bool | None:
        found = await network.has_agreement(tx, custodian_id=requester_id, recipient_id=owner_id)
        return found or None

    if not await within(wait_s, agreed):
        raise NoAgreement("No agreement in force lets you refer to this organisation.")


async def within(wait_s: float, look: Callable[[], Awaitable[T | None]]) -> T | None:
    """Look until something is found, at most `wait_s`: events of other services take a moment."""
    until = time.monotonic() + wait_s
    while True:
        found = await look()
        if found is not None or time.monotonic() >= until:
            return found
        await asyncio.sleep(_POLL_S)
