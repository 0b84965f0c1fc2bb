"""From the answer of a service, or of our own routes, to the ledger."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from starlette.types import Message, Send
from svckit import disclosure
from svckit.disclosure import Disclosed
from svckit.errors import CareloopError, Unavailable
from svckit.identity import Caller
from svckit.telemetry import trace_id

from gateway import notices
from gateway.entries import API, TOKEN, Answer
from gateway.ledger.writer import Writer

# what the door itself refuses: a scope, before any row is looked at
REFUSED = {disclosure.HEADER: b"!-||0|"}
Before = Callable[[int, Mapping[bytes, bytes]], Awaitable[None]]


class _Session(Protocol):
    @property
    def caller(self) -> Caller: ...


class _Answered(Protocol):
    """What the edge knows of an answer that has not left."""

    @property
    def session(self) -> _Session: ...
    @property
    def method(self) -> str: ...
    @property
    def status(self) -> int: ...
    @property
    def internal(self) -> Mapping[bytes, bytes]: ...
    @property
    def trace_id(self) -> str: ...


@dataclass(frozen=True)
class Recorder:
    """Asked before the first byte of an answer leaves."""

    writer: Writer

    async def __call__(self, answered: _Answered) -> None:
        """Enter what the answer discloses or refuses. Raises Unavailable when that cannot be."""
        entered = self.begin(answered)
        if entered is not None:
            await entered

    def begin(self, answered: _Answered) -> "asyncio.Future[None] | None":
        """Return what is done when that is entered, None when there is nothing to enter.

        Raises Unavailable, at once or from what is returned.
        """
        told = answered.internal.get(disclosure.HEADER)
        if told is None:
            return None
        caller = answered.session.caller
        try:
            found = disclosure.decode([told])
            items = tuple(each for each in found if each.custodian_id != caller.organisation_id)
        except ValueError as error:
            raise Unavailable("The answer cannot be entered into the ledger.") from error
        if not items:
            return None
        return self.writer.begin(
            Answer(
                caller.organisation_id,
                caller.client_id,
                caller.actor,
                caller.purpose,
                API,
                answered.method,
                answered.status,
                answered.trace_id,
                items,
            )
        )


class Held:
    """Sends an answer of our own routes, once it is entered; else none of it."""

    def __init__(self, send: Send, before: Before | None) -> None:
        self._send = send
        self._before = before
        self._fault: CareloopError | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            given = message.get("headers", ())
            lines = [value for name, value in given if name == disclosure.HEADER]
            told = {disclosure.HEADER: b";".join(lines)} if lines else {}
            kept = [pair for pair in given if pair[0] not in told]
            kept += notices.of(told.get(disclosure.HEADER), kept)
            message = {**message, "headers": kept}
            try:
                if self._before:
                    await self._before(message["status"], told)
            except CareloopError as error:
                # raised here it would be answered by the route, with what is held back
                self._fault = error
        if self._fault is None:
            await self._send(message)

    def check(self) -> None:
        """Raise what kept the answer back."""
        if self._fault is not None:
            raise self._fault


def refused_token(organisation_id: str, client_id: str, actor: str, *, status: int) -> Answer:
    """Return the entry of a scope or purpose refused with the token that was asked for."""
    asked = Disclosed("token", None, None, 0, denied=True)
    # the purpose is what was refused, or none that we know
    whose = organisation_id, client_id, actor, ""
    return Answer(*whose, TOKEN, "POST", status, trace_id(), (asked,))
