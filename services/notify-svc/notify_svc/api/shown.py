"""The inbox's rows as responses."""

from collections.abc import Sequence
from datetime import time
from typing import Any

import orjson
from fastapi import Response
from sharing import ALL
from sharing.part2 import notice as part2_notice
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import disclosure
from svckit.idempotency import Reply
from svckit.identity import Caller

from notify_svc.models.inbox import Mailbox
from notify_svc.queries.inbox import Notice, Total
from notify_svc.schemas.inbox import MailboxOut, NoticeOut, PreferencesOut, TotalOut, TotalsOut

_ABSENT = ("contacting_subject_prohibited", "contact_href", "redisclosure_notice")


def notice(found: Notice) -> dict[str, Any]:
    """Show a notice, and note whose person it is about."""
    item = found.item
    disclosure.note(
        kind="notice",
        custodian_id=item.custodian_id,
        person_id=item.person_id,
        classes=int(ALL) & item.classes,
    )
    shown = NoticeOut(
        id=item.id,
        kind=item.kind,
        about=item.about,
        subject=item.subject,
        href=item.href,
        case_id=item.case_id,
        due_at=item.due_at,
        created_at=item.created_at,
        read_at=found.read_at,
        done_at=found.done_at,
        contacting_subject_prohibited=found.is_prohibited or None,
        contact_href=f"/v1/persons/{item.person_id}" if found.may_contact else None,
        redisclosure_notice=part2_notice(item.classes),
    ).model_dump(mode="json")
    return {
        name: value for name, value in shown.items() if value is not None or name not in _ABSENT
    }


async def marked(_: AsyncSession, __: Caller, found: Notice) -> Reply:
    return Reply(notice(found))


def totals(found: Sequence[Total]) -> Response:
    body = TotalsOut(
        total=sum(each.total for each in found),
        unread=sum(each.unread for each in found),
        kinds=[TotalOut(kind=each.kind, total=each.total, unread=each.unread) for each in found],
    )
    return _plain(body.model_dump(mode="json"))


async def contact(_: AsyncSession, __: Caller, box: Mailbox) -> Reply:
    shown = MailboxOut.model_validate(_common(box))
    return Reply(shown.model_dump(mode="json"), version=box.version)


async def preferences(_: AsyncSession, __: Caller, box: Mailbox) -> Reply:
    said = {"kinds": box.modes, "digest_hour": box.digest_hour, "next_digest_at": box.digest_at}
    shown = PreferencesOut.model_validate(_common(box) | said)
    return Reply(shown.model_dump(mode="json"), version=box.version)


def _common(box: Mailbox) -> dict[str, Any]:
    return {
        "id": box.id,
        "version": box.version,
        "email": box.email,
        "verified": box.verified_at is not None,
        "time_zone": box.time_zone,
        "quiet_from": _clock(box.quiet_from),
        "quiet_to": _clock(box.quiet_to),
    }


def _clock(at: time | None) -> str | None:
    return at.strftime("%H:%M") if at else None


def _plain(body: dict[str, Any]) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(orjson.dumps(body), headers=headers, media_type="application/json")
