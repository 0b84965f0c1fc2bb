"""A worker's inbox, and where and when the worker is written to."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from sharing import classed
from svckit.http import In, Out

from notify_svc.domain.inbox import About, Kind
from notify_svc.domain.mailbox import Mode, is_zone
from notify_svc.schemas.fields import Envelope


def _known_zone(name: str) -> str:
    if not is_zone(name):
        raise ValueError("is no time zone of the IANA database")
    return name


# RFC 5321 s4.1.2 without quoted local parts and address literals
Email = Annotated[
    str,
    StringConstraints(
        max_length=254,
        pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*$",
    ),
]
Clock = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Zone = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_known_zone)]


class NoticeOut(Out):
    """One notice. `contact_href` is where the person's contact is read, absent where it may not be used."""

    id: Annotated[str, Envelope]
    kind: Annotated[Kind, Envelope]
    about: Annotated[About, Envelope]
    subject: Annotated[str, Envelope]
    href: Annotated[str, Envelope]
    case_id: Annotated[str | None, Envelope]
    due_at: Annotated[datetime | None, Envelope]
    created_at: Annotated[datetime, Envelope]
    read_at: Annotated[datetime | None, Envelope]
    done_at: Annotated[datetime | None, Envelope]
    # SDOHCC contacting-subject-prohibited: suppress any outreach; absent otherwise
    contacting_subject_prohibited: Annotated[bool | None, classed("coordination")] = None
    contact_href: Annotated[str | None, classed("contact")] = None
    redisclosure_notice: Annotated[str | None, Envelope] = None


class NoticePage(Out):
    items: Annotated[list[NoticeOut], Envelope]
    next: Annotated[str | None, Envelope]


class TotalOut(Out):
    kind: Annotated[Kind, Envelope]
    total: Annotated[int, Envelope]
    unread: Annotated[int, Envelope]


class TotalsOut(Out):
    total: Annotated[int, Envelope]
    unread: Annotated[int, Envelope]
    kinds: Annotated[list[TotalOut], Envelope]


class _Hours(In):
    """Quiet hours hold mails back and then let them go; one may go over midnight."""

    time_zone: Zone = "UTC"
    quiet_from: Clock | None = None
    quiet_to: Clock | None = None

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        if (self.quiet_from is None) != (self.quiet_to is None):
            raise ValueError("quiet hours have a beginning and an end")
        return self


class PreferencesIn(_Hours):
    """Replaces what was said before. Another e-mail address is written to once it is verified."""

    email: Email | None = None
    kinds: dict[Kind, Mode] = Field(
        default={}, description="How each kind is mailed; left out: a digest, overdue at once"
    )
    digest_hour: int = Field(default=7, ge=0, le=23)


class ContactIn(_Hours):
    """Where the organisation is told that a webhook endpoint is failing or was disabled."""

    email: Email | None = None


class CodeIn(In):
    code: Annotated[str, Field(min_length=1, max_length=40)]


class MailboxOut(Out):
    """The caller's own; the address is nobody else's to see."""

    id: Annotated[str, Envelope]
    version: Annotated[int, Envelope]
    email: Annotated[str | None, Envelope]
    verified: Annotated[bool, Envelope]
    time_zone: Annotated[str, Envelope]
    quiet_from: Annotated[str | None, Envelope]
    quiet_to: Annotated[str | None, Envelope]


class PreferencesOut(MailboxOut):
    kinds: Annotated[dict[Kind, Mode], Envelope]
    digest_hour: Annotated[int, Envelope]
    next_digest_at: Annotated[datetime | None, Envelope]
