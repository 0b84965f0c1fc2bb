"""One function per published event: ids and codes only (contracts/events/document.*.v1)."""

from typing import Any

from sharing.labels import Label
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import outbox
from svckit.identity import Caller

from document_svc.domain import Anchor, DataClass, required_classes
from document_svc.models import Content, Document, Link

PUBLISHES = ("document.added", "document.revised", "document.attached", "document.withdrawn")


async def added(
    tx: AsyncSession, caller: Caller, document: Document, link: Link, content: Content
) -> None:
    """Tell of the first content."""
    change = {"type": document.type, **_link(link), **_content(content)}
    await _record(tx, caller, "added", document, case_id=link.case_id, change=change)


async def revised(
    tx: AsyncSession,
    caller: Caller,
    document: Document,
    link: Link,
    *,
    content: Content | None = None,
    fields: list[str] | None = None,
) -> None:
    """Tell of a further content, or of which metadata changed."""
    change: dict[str, Any] = {"fields": sorted(fields or ["content"])}
    if content:
        change |= _content(content)
    await _record(tx, caller, "revised", document, case_id=link.case_id, change=change)


async def attached(tx: AsyncSession, caller: Caller, document: Document, link: Link) -> None:
    """Tell of one more case or referral."""
    await _record(tx, caller, "attached", document, case_id=link.case_id, change=_link(link))


async def withdrawn(tx: AsyncSession, caller: Caller, document: Document, link: Link) -> None:
    """Tell that the document is no longer to be relied on."""
    change = {"status": document.status.value}
    await _record(tx, caller, "withdrawn", document, case_id=link.case_id, change=change)


def _link(link: Link) -> dict[str, Any]:
    return {
        "case_id": link.case_id,
        "referral_id": link.target_id if link.anchor == Anchor.REFERRAL else None,
    }


def _content(content: Content) -> dict[str, Any]:
    return {
        "content_number": content.number,
        "content_type": content.content_type,
        "size_bytes": content.size_bytes,
    }


async def _record(
    tx: AsyncSession,
    caller: Caller,
    verb: str,
    document: Document,
    *,
    case_id: str | None,
    change: dict[str, Any],
) -> None:
    needed = required_classes(
        DataClass(document.data_class), [Label(label) for label in document.labels]
    )
    await outbox.record(
        tx,
        outbox.Event(
            type=f"org.careloop.document.{verb}.v1",
            subject=document.id,
            version=document.version,
            key=document.id,
            data={
                "id": document.id,
                "version": document.version,
                "custodian_id": document.custodian_id,
                "person_id": document.person_id,
                "case_id": case_id,
                # nobody but the custodian has standing of its own: readers come by their grants
                "parties": [],
                "classes": sorted(each.value for each in needed),
                "confidentiality": document.confidentiality.value,
                "href": f"/v1/documents/{document.id}",
                "change": change,
            },
        ),
        caller=caller,
    )
