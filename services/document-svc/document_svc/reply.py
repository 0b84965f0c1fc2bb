"""Rows to responses: JSON bodies with their ETag, and the header fields of a content."""

import base64
from collections.abc import Callable, Sequence
from typing import Any

from sharing import ALL, part2, project
from sharing.confidentiality import Confidentiality, code_of, rank
from sharing.fields import classes_in, tag
from sharing.labels import Label
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import disclosure
from svckit.idempotency import Reply
from svckit.identity import Caller

from document_svc import domain, queries
from document_svc.domain import Anchor, DataClass, Span
from document_svc.models import Content, Document
from document_svc.queries import Attached, Seen
from document_svc.schemas import ContentOut, DocumentOut, LinkOut

# they tell of changes that nobody else sees, such as of what else it is attached to
_CUSTODIANS = ("version", "updated_at")
_HOME = {Anchor.CASE: "/v1/cases", Anchor.REFERRAL: "/v1/referrals"}


async def document(tx: AsyncSession, caller: Caller, found: Document) -> Reply:
    """Answer with the document as the caller may see it."""
    present = await presenter(tx, caller, [Seen(found, int(ALL))])
    body = present(Seen(found, int(ALL)))
    return Reply(body, version=tag(body, found.version))


async def created(tx: AsyncSession, caller: Caller, found: Document) -> Reply:
    """Answer 201 with where the document is."""
    answer = await document(tx, caller, found)
    location = f"/v1/documents/{found.id}"
    return Reply(answer.body, 201, version=answer.version, location=location)


async def presenter(
    tx: AsyncSession, caller: Caller, rows: Sequence[Seen]
) -> Callable[[Seen], dict[str, Any]]:
    """Load what a page of documents needs in two statements; return how to show one of them."""
    documents = [row.document for row in rows]
    links = await queries.links(tx, caller, [each.id for each in documents])
    contents = await queries.contents(tx, documents)
    consents = {each.id: await consent_of(tx, caller, each) for each in documents}

    def present(row: Seen) -> dict[str, Any]:
        found = row.document
        disclose("document", row)
        newest = contents.get(found.id)
        shown = project(_document(found, links[found.id], newest), row.mask)
        if found.custodian_id != caller.organisation_id:
            shown = {name: value for name, value in shown.items() if name not in _CUSTODIANS}
        return _noticed(found, shown, consents[found.id])

    return present


def _confidentiality(found: Document, attached: Sequence[Attached]) -> Confidentiality:
    """Return the high-water mark of a document and of the cases it is attached to."""
    ranks = (rank(found.confidentiality), *(each.confidentiality for each in attached))
    return Confidentiality(code_of(max(ranks)))


async def protection_of(tx: AsyncSession, caller: Caller, found: Document) -> Confidentiality:
    """Return how confidential a document is with the cases it is attached to."""
    links = await queries.links(tx, caller, [found.id])
    return _confidentiality(found, links[found.id])


async def consent_of(tx: AsyncSession, caller: Caller, found: Document) -> part2.Basis | None:
    """Return the consent that lets another's Part 2 document out to the caller."""
    if _notice(found) is None or found.custodian_id == caller.organisation_id:
        return None
    return (await part2.consents(tx, caller, [found.person_id])).get(found.person_id)


def _noticed(
    found: Document, body: dict[str, Any], basis: part2.Basis | None = None
) -> dict[str, Any]:
    """Give what is shown of a Part 2 document its notice; nothing else has the members."""
    members = {
        "redisclosure_notice": _notice(found),
        "redisclosure_consent": basis and basis.consent,
        "redisclosure_rule": basis and basis.rule,
    }
    plain = {name: value for name, value in body.items() if name not in members}
    return plain | {name: value for name, value in members.items() if value is not None}


def disclose(kind: str, seen: Seen) -> None:
    """Note that an answer shows a document, or with kind `content` its bytes."""
    found = seen.document
    shown = seen.mask & (classes_in(DocumentOut) | found.required)
    disclosure.note(
        kind=kind, custodian_id=found.custodian_id, person_id=found.person_id, classes=shown
    )


def content(seen: Seen, found: Content) -> dict[str, Any]:
    """Show one content of a document that the caller may see."""
    disclose("document", seen)
    return _noticed(seen.document, project(_content(found), int(ALL)))


async def content_headers(
    tx: AsyncSession, caller: Caller, found: Document, of: Content
) -> dict[str, str]:
    """Return the fields that a content has whole, in part and in a HEAD."""
    digest = base64.b64encode(bytes.fromhex(of.sha256)).decode()
    headers = {
        "Content-Type": of.content_type,
        "ETag": f'"{of.sha256}"',
        "Accept-Ranges": "bytes",
        "Repr-Digest": f"sha-256=:{digest}:",
        "Cache-Control": "no-store",
        "Confidentiality": (await protection_of(tx, caller, found)).value,
        # a partner's upload must never run as a page of ours
        "Content-Disposition": "attachment",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    if notice := _notice(found):
        headers["Redisclosure-Notice"] = notice
    if basis := await consent_of(tx, caller, found):
        headers["Link"] = f'<{basis.consent}>; rel="describedby"'
        headers["Redisclosure-Rule"] = basis.rule
    return headers


def validators(headers: dict[str, str]) -> dict[str, str]:
    """Return the fields that a 304 keeps (RFC 9110 s15.4.5), and the labels."""
    kept = ("ETag", "Cache-Control", "Redisclosure-Notice", "Confidentiality")
    return {name: headers[name] for name in kept if name in headers}


def span_headers(of: Content, span: Span | None) -> dict[str, str]:
    """Return the length of the answer, and which range it is."""
    if span is None:
        return {"Content-Length": str(of.size_bytes)}
    return {
        "Content-Length": str(span.length),
        "Content-Range": f"bytes {span.first}-{span.last}/{of.size_bytes}",
    }


def _notice(found: Document) -> str | None:
    labels = [Label(label) for label in found.labels]
    return domain.redisclosure_notice(DataClass(found.data_class), labels)


def _document(found: Document, attached: Sequence[Attached], newest: Content | None) -> DocumentOut:
    return DocumentOut(
        id=found.id,
        version=found.version,
        custodian_id=found.custodian_id,
        person_id=found.person_id,
        status=found.status,
        type=found.type,
        title=found.title,
        data_class=found.data_class,
        labels=[Label(label) for label in found.labels],
        confidentiality=_confidentiality(found, attached),
        attached_to=[
            LinkOut(
                anchor=link.anchor,
                id=link.target_id,
                href=f"{_HOME[link.anchor]}/{link.target_id}",
            )
            for link, _ in attached
        ],
        content=_content(newest) if newest else None,
        recorded_at=found.recorded_at,
        updated_at=found.updated_at,
    )


def _content(found: Content) -> ContentOut:
    return ContentOut(
        number=found.number,
        content_type=found.content_type,
        size_bytes=found.size_bytes,
        sha256=found.sha256,
        recorded_at=found.recorded_at,
        href=f"/v1/documents/{found.document_id}/content?version={found.number}",
    )
