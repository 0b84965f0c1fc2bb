"""Whose address is it? What a receiver must answer before it is sent anything.

It is sent a signed challenge, which it has to give back, and then the same kind of message signed
with a key that is nobody's, which it has to refuse with 401 or 403: a receiver that takes it would
take anyone's word for ours.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from json import loads

from notify_svc.domain.attempts import GONE, Answer

VERIFICATION = "webhook.verification"
VERIFIED = "verified"
ACCEPTS_UNSIGNED = "accepts-unsigned"
NOT_ECHOED = "not-echoed"
UNVERIFIED = "unverified"
REFUSALS = (401, 403)
_BUSY = 429
_FAULTS = range(500, 600)


class Verdict(StrEnum):
    VERIFIED = "verified"
    # asked again by the schedule
    LATER = "later"
    # not asked again until its owner does
    REFUSED = "refused"


@dataclass(frozen=True)
class Finding:
    """`result` is the stable code that the endpoint's owner reads."""

    verdict: Verdict
    result: str


@dataclass(frozen=True)
class Verification:
    """What its owner is shown: the last result, and when it is asked next."""

    result: str | None
    checked_at: datetime | None
    next_at: datetime | None
    verified_at: datetime | None


def new_challenge() -> str:
    return secrets.token_urlsafe(32)


def judge_echo(answer: Answer, challenge: str) -> Finding | None:
    """Return why the answer to a challenge does not do; None when the challenge was given back."""
    if answer.status == GONE:
        return Finding(Verdict.REFUSED, "gone")
    if not answer.is_success:
        return Finding(Verdict.LATER, _code(answer))
    if not _gives_back(answer.body, challenge):
        return Finding(Verdict.LATER, NOT_ECHOED)
    return None


def judge_refusal(answer: Answer) -> Finding:
    """Decide by the answer to a message that was signed with another key."""
    if answer.status in REFUSALS:
        return Finding(Verdict.VERIFIED, VERIFIED)
    if answer.status is None or answer.status == _BUSY or answer.status in _FAULTS:
        return Finding(Verdict.LATER, f"forged-{_code(answer)}")
    return Finding(Verdict.REFUSED, ACCEPTS_UNSIGNED)


def _code(answer: Answer) -> str:
    return answer.error or f"status-{answer.status}"


def _gives_back(body: bytes, challenge: str) -> bool:
    """Take `{"challenge": …}`, or the challenge alone as text."""
    try:
        found = loads(body)
    except ValueError:
        return body.strip() == challenge.encode()
    given = found.get("challenge") if isinstance(found, dict) else found
    return isinstance(given, str) and secrets.compare_digest(given.encode(), challenge.encode())
