"""Wakes the senders of this process at a commit that queued something; others find it by polling."""

import asyncio
import weakref
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

_MARK = "webhooks queued"
_senders: "weakref.WeakSet[asyncio.Event]" = weakref.WeakSet()


def woken() -> asyncio.Event:
    """Return an event that is set after each such commit of this process."""
    hint = asyncio.Event()
    _senders.add(hint)
    return hint


def wake_after_commit(tx: AsyncSession) -> None:
    """Set every sender's event once the transaction has committed."""
    if _senders and not tx.info.get(_MARK):
        tx.info[_MARK] = True
        event.listen(tx.sync_session, "after_commit", _wake, once=True)


def _wake(session: Any) -> None:
    session.info.pop(_MARK, None)
    for hint in list(_senders):
        hint.set()
