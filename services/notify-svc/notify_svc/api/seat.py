"""Whose inbox: the worker's whom the token names, or one that the organisation's system asks for."""

from typing import Annotated

from fastapi import Depends, Query
from svckit.errors import NotFound
from svckit.identity import Caller, requires, worker_key

from notify_svc.domain.inbox import TEAM

MayRead = Annotated[Caller, Depends(requires("inbox.read"))]
MayMark = Annotated[Caller, Depends(requires("inbox.write"))]
Worker = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=200,
        description="A worker as tasks name them, for a client that acts for nobody; none: the team",
    ),
]


def whose(caller: Caller, worker: str | None) -> str:
    """Return the inbox's owner. Raises NotFound when a worker asks for somebody else's."""
    own = None
    if caller.actor != caller.client_id:
        own = worker_key(caller.organisation_id, caller.actor)
    if worker is None:
        return own or TEAM
    asked = worker_key(caller.organisation_id, worker)
    if own not in (None, asked):
        raise NotFound
    return asked
