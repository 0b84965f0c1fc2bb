"""One function per verb: load what the caller may change, ask the rule, write, record the event."""

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Any

from sharing.classes import mask_of
from sharing.confidentiality import Confidentiality
from sharing.labels import Label
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.clock import now
from svckit.db import Database
from svckit.errors import FieldError, Invalid, NotFound, PayloadTooLarge
from svckit.idempotency import check_version
from svckit.identity import Caller
from svckit.ids import new_id

from document_svc import domain, events, queries
from document_svc.domain import Anchor, DataClass, Declared, Status
from document_svc.models import CaseRef, Content, Document, Link, ReferralRef
from document_svc.queries import Seen, Target
from document_svc.schemas import AttachIn, DocumentIn, DocumentPatch, WithdrawIn
from document_svc.storage import Storage, key_of

_POLL_S = 0.05


@dataclass(frozen=True)
class Upload:
    """Content on its way in: for which version of which document, and what it claims to be."""

    document_id: str
    expected: int
    declared: Declared
    content_type: str
    key: str


async def add(
    tx: AsyncSession, caller: Caller, body: DocumentIn, *, wait_s: float, limit: int
) -> Document:
    """Record the metadata of a document whose content follows; nobody is told of it yet.

    Raises Invalid for a case or referral that is not the caller's to attach to, PayloadTooLarge.
    """
    if body.size_bytes and body.size_bytes > limit:
        raise too_large(limit)
    target = await _target(tx, caller, body, wait_s)
    await queries.lock_readers(tx, caller.organisation_id, target.person_id)
    at = now()
    document = Document(
        id=new_id("doc"),
        version=0,
        custodian_id=caller.organisation_id,
        person_id=target.person_id,
        status=Status.PENDING,
        type=body.type,
        title=body.title,
        content_type=body.content_type,
        declared_sha256=body.sha256,
        declared_size_bytes=body.size_bytes,
        content_number=0,
        recorded_at=at,
        updated_at=at,
    )
    _classify(document, body.data_class, body.labels, body.confidentiality)
    tx.add(document)
    await tx.flush()
    tx.add(_link(document, target))
    await tx.flush()
    await queries.add_readers(tx, document_id=document.id)
    await audit.record(tx, caller, action="document.add", resource=document.id, version=0)
    return document


async def expect(
    session: AsyncSession,
    caller: Caller,
    document_id: str,
    expected: int,
    *,
    digest: str | None,
    length: int | None,
    content_type: str | None,
    limit: int,
) -> Upload:
    """Decide whether content may come, before a byte of it is read.

    Raises NotFound, NotCustodian, PreconditionFailed, Withdrawn, DigestMissing, ContentMismatch,
    PayloadTooLarge.
    """
    document, _ = await queries.get(session, caller, document_id)
    _require_custodian(caller, document)
    domain.require_not_withdrawn(document.status)
    first = document.status == Status.PENDING
    declared = domain.declare(
        header=digest,
        noted=document.declared_sha256 if first else None,
        noted_size=document.declared_size_bytes if first else None,
        length=length,
    )
    if length is not None and length > limit:
        raise too_large(limit)
    if not await _is_repeat(session, document, expected, declared.sha256):
        check_version(document.version, expected)
    return Upload(
        document_id=document_id,
        expected=expected,
        declared=declared,
        content_type=content_type or document.content_type,
        key=key_of(document_id, new_id("ver")),
    )


async def receive(
    storage: Storage, upload: Upload, chunks: AsyncIterable[bytes], limit: int
) -> int:
    """Stream the content into the store and return its size; a mismatch keeps nothing.

    Raises ContentMismatch, PayloadTooLarge, Unavailable, and what `chunks` raises.
    """
    size = 0

    async def verified() -> AsyncIterator[bytes]:
        nonlocal size
        digest = hashlib.sha256()
        async for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise too_large(limit)
            digest.update(chunk)
            yield chunk
        # raised while the store still waits for more: it completes no object
        domain.verify(upload.declared, sha256=digest.hexdigest(), size_bytes=size)

    await storage.put(upload.key, verified())
    return size


async def keep(tx: AsyncSession, caller: Caller, upload: Upload, size_bytes: int) -> Document:
    """Make stored bytes the newest content. The same content sent again changes nothing.

    Raises NotFound, NotCustodian, PreconditionFailed, Withdrawn; then the bytes are an orphan.
    """
    document, _ = await queries.get_for_update(tx, caller, upload.document_id)
    _require_custodian(caller, document)
    domain.require_not_withdrawn(document.status)
    if await _is_repeat(tx, document, upload.expected, upload.declared.sha256):
        return document
    check_version(document.version, upload.expected)
    first = document.status == Status.PENDING
    _rise(document)
    document.status = Status.CURRENT
    document.content_number += 1
    document.content_type = upload.content_type
    content = Content(
        document_id=document.id,
        number=document.content_number,
        object_key=upload.key,
        sha256=upload.declared.sha256,
        size_bytes=size_bytes,
        content_type=upload.content_type,
        document_version=document.version,
        recorded_at=document.updated_at,
    )
    tx.add(content)
    await tx.flush()
    link = await queries.first_link(tx, document)
    if first:
        await events.added(tx, caller, document, link, content)
    else:
        await events.revised(tx, caller, document, link, content=content)
    await _audited(tx, caller, "document.content", document)
    return document


async def change(
    tx: AsyncSession, caller: Caller, document_id: str, body: DocumentPatch, expected: int
) -> Document:
    """Change title, type, class or labels. Who holds too few classes for it now sees it no more.

    Raises NotFound, NotCustodian, PreconditionFailed, ContentMissing, Withdrawn.
    """
    document = await _current(tx, caller, document_id, expected)
    values = body.model_dump(exclude_unset=True)
    for name in values.keys() & {"title", "type"}:
        setattr(document, name, values[name])
    _classify(
        document,
        values.get("data_class", document.data_class),
        values.get("labels", [Label(label) for label in document.labels]),
        values.get("confidentiality", document.confidentiality),
    )
    _rise(document)
    await tx.flush()
    link = await queries.first_link(tx, document)
    await events.revised(tx, caller, document, link, fields=list(values))
    await _audited(tx, caller, "document.change", document)
    return document


async def attach(
    tx: AsyncSession,
    caller: Caller,
    document_id: str,
    body: AttachIn,
    expected: int,
    *,
    wait_s: float,
) -> Document:
    """Attach a document to one more case or referral about the same person.

    Raises NotFound, NotCustodian, PreconditionFailed, ContentMissing, Withdrawn, Invalid for a
    target that is not the caller's, OtherPerson, AlreadyAttached.
    """
    seen = await queries.get(tx, caller, document_id)
    target = await _target(tx, caller, body, wait_s)
    await queries.lock_readers(tx, seen.document.custodian_id, seen.document.person_id)
    document = await _current(tx, caller, document_id, expected)
    if target.person_id != document.person_id:
        raise domain.OtherPerson("The document is about another person.")
    if await tx.get(Link, (document.id, target.anchor, target.id)):  # unscoped: both already seen
        raise domain.AlreadyAttached("The document is attached to it already.")
    _rise(document)
    link = _link(document, target)
    tx.add(link)
    await tx.flush()
    await queries.add_readers(tx, document_id=document.id)
    await events.attached(tx, caller, document, link)
    await _audited(tx, caller, "document.attach", document)
    return document


async def withdraw(
    tx: AsyncSession, caller: Caller, document_id: str, body: WithdrawIn, expected: int
) -> Document:
    """End a document: others no longer see it, its custodian keeps it.

    Raises NotFound, NotCustodian, PreconditionFailed, ContentMissing, Withdrawn.
    """
    document = await _current(tx, caller, document_id, expected)
    document.status = body.reason
    _rise(document)
    await tx.flush()
    link = await queries.first_link(tx, document)
    await events.withdrawn(tx, caller, document, link)
    await _audited(tx, caller, "document.withdraw", document)
    return document


async def readable(
    session: AsyncSession, caller: Caller, document_id: str, number: int | None
) -> tuple[Seen, Content]:
    """Return a document and one content of it that the caller may read.

    Raises NotFound, ContentMissing for the custodian of a document without content.
    """
    seen, content = await queries.get_with_content(session, caller, document_id, number)
    domain.require_content(seen.document.status)
    if content is None:
        raise NotFound
    return seen, content


async def leave(tx: AsyncSession, caller: Caller, content: Content) -> None:
    """Record that a content is about to leave; once this is committed it may."""
    await audit.record(
        tx, caller, action="document.read", resource=content.document_id, version=content.number
    )


async def know_case(tx: AsyncSession, *, case_id: str, custodian_id: str, person_id: str) -> None:
    """Remember a case that documents can be attached to."""
    await tx.merge(CaseRef(id=case_id, custodian_id=custodian_id, person_id=person_id))


async def know_referral(tx: AsyncSession, referral_id: str, values: Mapping[str, Any]) -> None:
    """Remember a referral, its parties and whether it is still one."""
    await tx.merge(ReferralRef(id=referral_id, **values))


async def know_readers(
    tx: AsyncSession, *, custodian_id: str, person_id: str, recipient_id: str
) -> None:
    """Let a recipient's lists look at a custodian's documents about a person.

    Only ever adds: the mask decides at each read what is really shown.
    """
    await queries.lock_readers(tx, custodian_id, person_id)
    await queries.add_readers(tx, pair=(custodian_id, person_id, recipient_id))


async def sweep(db: Database, storage: Storage, orphan_after_s: float) -> int:
    """Remove stored bytes that no content names and that are too old to be on their way in.

    Returns how many. Safe beside uploads and beside another sweep.
    """
    before = now() - timedelta(seconds=orphan_after_s)
    removed = await storage.drop_partial(before)
    async for page in storage.pages():
        old = [each.key for each in page if each.modified_at < before]
        if not old:
            continue
        async with db.read() as session:
            known = await queries.known_keys(session, old)
        orphans = [key for key in old if key not in known]
        await storage.delete(orphans)
        removed += len(orphans)
    return removed


def too_large(limit: int) -> PayloadTooLarge:
    """Return the refusal of a content above the limit."""
    return PayloadTooLarge(f"The content is larger than {limit} bytes.")


async def _current(tx: AsyncSession, caller: Caller, document_id: str, expected: int) -> Document:
    document, _ = await queries.get_for_update(tx, caller, document_id)
    _require_custodian(caller, document)
    check_version(document.version, expected)
    domain.require_current(document.status)
    return document


async def _is_repeat(session: AsyncSession, document: Document, expected: int, sha256: str) -> bool:
    """Tell whether this very upload was accepted before and only its answer got lost."""
    newest = (await queries.contents(session, [document])).get(document.id)
    if newest is None or document.version != expected + 1:
        return False
    return newest.document_version == document.version and newest.sha256 == sha256


async def _target(tx: AsyncSession, caller: Caller, body: AttachIn, wait_s: float) -> Target:
    """Find the case or referral named, waiting for one that was announced a moment ago."""
    deadline = monotonic() + wait_s
    while True:
        if body.case_id:
            found = await queries.find_case(tx, caller, body.case_id)
        else:
            found = await queries.find_referral(tx, caller, body.referral_id or "")
        if found:
            return found
        if monotonic() >= deadline:
            anchor = Anchor.CASE if body.case_id else Anchor.REFERRAL
            detail = f"There is no such {anchor} to attach to."
            raise Invalid(
                detail, errors=[FieldError(f"#/{anchor}_id", f"unknown-{anchor}", detail)]
            )
        await asyncio.sleep(_POLL_S)


def _classify(
    document: Document,
    data_class: DataClass,
    labels: Sequence[Label],
    confidentiality: Confidentiality,
) -> None:
    document.data_class = data_class
    document.labels = sorted({label.value for label in labels})
    document.confidentiality = domain.high_water(confidentiality, labels)
    document.required = int(mask_of(domain.required_classes(data_class, labels)))


def _link(document: Document, target: Target) -> Link:
    return Link(
        document_id=document.id,
        anchor=target.anchor,
        target_id=target.id,
        case_id=target.case_id,
        recorded_at=now(),
    )


def _rise(document: Document) -> None:
    document.version += 1
    document.updated_at = now()


def _require_custodian(caller: Caller, document: Document) -> None:
    if document.custodian_id != caller.organisation_id:
        raise domain.NotCustodian("Only the organisation that added the document may do this.")


async def _audited(tx: AsyncSession, caller: Caller, action: str, document: Document) -> None:
    await audit.record(tx, caller, action=action, resource=document.id, version=document.version)
