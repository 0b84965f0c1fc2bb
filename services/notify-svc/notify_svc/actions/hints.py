"""Wakes who waits in this process at a commit that gave them work; others find it by polling."""

import asyncio
import weakref
from enum import StrEnum

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session


class About(StrEnum):
    # deliveries: the senders
    QUEUED = "webhooks queued"
    # endpoints to be verified, events to be recovered: the keeper
    ASKED = "endpoints asked about"


_waiting: dict[About, "weakref.WeakSet[asyncio.Event]"] = {
    about: weakref.WeakSet() for about in About
}


def woken(about: About = About.QUEUED) -> asyncio.Event:
    """Return an event that is set after each such commit of this process."""
    hint = asyncio.Event()
    _waiting[about].add(hint)
    return hint


def wake_after_commit(tx: AsyncSession, about: About = About.QUEUED) -> None:
    """Set the event of everyone who waits for it, once the transaction has committed."""
    tx.info.setdefault(About, set()).add(about)


@event.listens_for(Session, "after_commit")
def _wake(session: Session) -> None:
    if session.in_nested_transaction():
        return
    for about in session.info.pop(About, ()):
        for hint in list(_waiting[about]):
            hint.set()
