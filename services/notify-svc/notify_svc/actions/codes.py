"""The code by which an address is verified: made again from the mailbox whenever it is needed."""

import base64
import hmac

from notify_svc.models.inbox import Mailbox
from notify_svc.settings import Settings

_LENGTH = 10  # 50 bits: nobody guesses one within its day


def cause_of(box: Mailbox) -> str:
    """Return what the verification of the mailbox's present address is known by."""
    return f"verify {box.asked_at:%Y-%m-%dT%H:%M:%S.%f}"


def code_of(box: Mailbox, settings: Settings) -> str:
    """Return the code for the present address."""
    told = f"mailbox\n{box.id}\n{box.email}\n{cause_of(box)}".encode()
    digest = hmac.digest(settings.cursor_key.get_secret_value().encode(), told, "sha256")
    return base64.b32encode(digest).decode().lower()[:_LENGTH]
