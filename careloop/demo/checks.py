"""Assertions of the demonstration: what does not hold stops it with a sentence."""

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from careloop.errors import StepFailed
from careloop.partner import PATIENCE_S, Answer, Partner

Found = TypeVar("Found")


def check(holds: object, otherwise: str) -> None:
    """Raise StepFailed with the sentence unless it holds."""
    if not holds:
        raise StepFailed(otherwise)


def eventually(look: Callable[[], Found | None], otherwise: str) -> Found:
    """Look again until there is something; what one service did, the others hear soon after.

    Raises:
        StepFailed: there was nothing within the patience of a partner.
    """
    deadline = time.monotonic() + PATIENCE_S
    pause = 0.02
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise StepFailed(otherwise)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)


def known(send: Callable[[], Answer], otherwise: str) -> Answer:
    """Send until the other side knows every id in the request, and return the answer.

    A command refused with 404 or 422 changed nothing, so its key may be used again.
    """

    def attempt() -> Answer | None:
        answer = send()
        return None if answer.status in (404, 409, 422) else answer

    return eventually(attempt, otherwise)


def absent(body: Mapping[str, Any], names: Collection[str], who: str) -> None:
    """Check that none of the fields is there at all, not even as null."""
    seen = sorted(set(names) & body.keys())
    check(not seen, f"{who} sees {', '.join(seen)}")


def kind_of(event_type: str) -> str:
    """Return `case.closed` of `org.careloop.case.closed.v1`."""
    return event_type.removeprefix("org.careloop.").removesuffix(".v1")


def what_is_at(reader: Partner, path: str) -> dict[str, Any]:
    """Return the body, empty while the reader's right to it is still on its way."""
    answer = reader.get(path)
    found: dict[str, Any] = answer.body if answer.status == 200 else {}  # noqa: PLR2004
    return found


def content_of(answer: Answer) -> bytes | None:
    """Return the bytes, None while the reader's right to them is still on its way."""
    found: bytes | None = answer.body if answer.status == 200 else None  # noqa: PLR2004
    return found
