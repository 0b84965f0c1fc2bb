"""What mails say: how many notices, of what kind, and links. No name, no text that anybody wrote.

A mail leaves the protection of the network: it says nothing that could not stand on a postcard in
the agency's mail room. Whoever follows a link is asked who they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP

from notify_svc.domain.kinds import DISABLED, WARNED

LINES = 50
_SAYS = {
    ("assigned", "task"): "A task was assigned",
    ("due", "task"): "A task is due soon",
    ("due", "accept"): "A referral is to be answered soon",
    ("due", "start"): "An accepted referral is to be started soon",
    ("overdue", "task"): "A task is overdue",
    ("overdue", "accept"): "A referral has not been answered in time",
    ("overdue", "start"): "An accepted referral has not been started in time",
    ("waiting", "accept"): "A referral waits to be accepted",
    ("waiting", "answer"): "A message waits for an answer",
    ("referral-news", "state"): "A referral has moved",
}
# a mail that says less is better than one that holds up the others
_ELSE = "There is something for you"
_OF_ENDPOINTS = {
    WARNED: "Deliveries to a webhook endpoint keep failing; it will be disabled.",
    DISABLED: "A webhook endpoint was disabled; its deliveries are held.",
}


@dataclass(frozen=True)
class Line:
    """One notice: kind and subject by their codes, and where it is read."""

    kind: str
    about: str
    href: str


@dataclass(frozen=True)
class Letter:
    """A mail as it is handed over. `address` is the one place where it goes."""

    token: str
    mail_id: str
    address: str
    subject: str
    text: str
    at: datetime


def notices(lines: Sequence[Line], issuer: str, notice: str | None) -> tuple[str, str]:
    """Return subject and text of a mail of notices; `notice` is what 42 CFR 2.32 demands with it."""
    many = len(lines)
    said = [
        f"- {_SAYS.get((line.kind, line.about), _ELSE)}:\n  {issuer}{line.href}"
        for line in lines[:LINES]
    ]
    if many > LINES:
        said.append(f"- and {many - LINES} more")
    count = "1 notice" if many == 1 else f"{many} notices"
    parts = [
        "\n".join(said),
        f"All of your inbox: {issuer}/v1/inbox",
        *([notice] if notice else []),
    ]
    return f"Careloop: {count}", "\n\n".join([*parts, _footer(issuer)])


def operations(kind: str, href: str, issuer: str) -> tuple[str, str]:
    """Return subject and text of a mail about one of the organisation's webhook endpoints."""
    return "Careloop: webhook endpoint", f"{_OF_ENDPOINTS[kind]}\n{issuer}{href}"


def verification(code: str) -> tuple[str, str]:
    """Return subject and text of the mail by which an address is verified."""
    text = (
        f"{code}\n\nis the code that confirms this address for notices of Careloop. It is good for"
        " a day.\nIf you did not ask for it, do nothing: nobody will write to you."
    )
    return "Careloop: confirm this address", text


def _footer(issuer: str) -> str:
    return f"What you are sent, and when: {issuer}/v1/inbox/preferences"


def composed(letter: Letter, *, sender: str, issuer: str, host: str) -> EmailMessage:
    """Return the message; its Message-ID is the same at every attempt, for receivers to drop a double."""
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = letter.address
    message["Subject"] = letter.subject
    message["Date"] = letter.at
    message["Message-ID"] = f"<{letter.mail_id}@{host}>"
    # RFC 3834 s5: no machine answers a machine
    message["Auto-Submitted"] = "auto-generated"
    # RFC 2369 s3.2: where the worker ends it, after signing in
    message["List-Unsubscribe"] = f"<{issuer}/v1/inbox/preferences>"
    message.set_content(letter.text + "\n")
    return message
