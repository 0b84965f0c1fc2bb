"""Keeps the quotas of single clients like the database; while it is away the last known stand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from svckit.db import Database
from svckit.faults import AWAY, PASSING

from gateway.limits import Quotas
from gateway.queries.quotas import own_quotas

# a quota is no right: it may take effect a little later
_EVERY_S = 2.0
_log = structlog.get_logger("overrides")


@asynccontextmanager
async def followed(db: Database, quotas: Quotas) -> AsyncIterator[None]:
    """Follow until the block ends; what is set by now is known when it begins."""
    await _look(db, quotas)
    following = asyncio.create_task(_follow(db, quotas))
    try:
        yield
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


async def _look(db: Database, quotas: Quotas) -> None:
    async with db.read() as session:
        quotas.own = await own_quotas(session)


async def _follow(db: Database, quotas: Quotas) -> None:
    while True:
        await asyncio.sleep(_EVERY_S)
        try:
            await _look(db, quotas)
        except (*AWAY, *PASSING) as error:
            _log.warning("quotas cannot be read", error=type(error).__name__)
