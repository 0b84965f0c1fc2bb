"""Every SELECT of documents. Reads start at `visible(caller)`: not yours and not there are one.

Access follows what the document is attached to: a case link needs the classes for that case, a
referral link needs them too and that the caller is a party of that referral.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sharing.classes import DataClass, names_of
from sharing.described import Described, Way
from sharing.sql import shared
from sharing.tables import grant
from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    case,
    func,
    literal,
    null,
    or_,
    select,
    text,
    true,
    union,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.selectable import LateralFromClause
from svckit.clock import now
from svckit.disclosure import Owner
from svckit.errors import NotFound
from svckit.identity import Caller

from document_svc.domain import Anchor, Status
from document_svc.models import CaseRef, Content, Document, Link, Reader, ReferralRef


class Seen(NamedTuple):
    """A document and the data classes the caller may see of it."""

    document: Document
    mask: int


@dataclass(frozen=True)
class Filters:
    """What a list is narrowed to; None asks for nothing."""

    case_id: str | None = None
    referral_id: str | None = None
    person_id: str | None = None
    type: str | None = None


class Target(NamedTuple):
    """A case or referral that documents can be attached to."""

    anchor: Anchor
    id: str
    person_id: str
    case_id: str | None


# built once: the compiled rule is kept by its columns
_REFERRAL = case((Link.anchor == Anchor.REFERRAL, Link.target_id), else_=null())


def _link_mask(caller: Caller) -> ColumnElement[int]:
    """Give the classes that one link of a document shows the caller; nothing: 0."""
    party = (
        select(literal(1))
        .where(
            ReferralRef.id == Link.target_id,
            ReferralRef.parties.contains([caller.organisation_id]),
        )
        .correlate(Link)
        .exists()
    )
    return case(
        (
            or_(Document.custodian_id == caller.organisation_id, Link.anchor == Anchor.CASE, party),
            shared(
                caller,
                custodian=Document.custodian_id,
                person=Document.person_id,
                case=Link.case_id,
                referral=_REFERRAL,
                confidentiality=Document.confidentiality,
            ),
        ),
        else_=0,
    )


def _named_links(filters: Filters) -> list[ColumnElement[bool]]:
    """Return what a filter demands of the link by which a document is seen."""
    named: list[ColumnElement[bool]] = []
    if filters.case_id:
        named.append(Link.case_id == filters.case_id)
    if filters.referral_id:
        named.append(and_(Link.anchor == Anchor.REFERRAL, Link.target_id == filters.referral_id))
    return named


def _mask(caller: Caller, filters: Filters | None = None) -> LateralFromClause:
    """Give the union over a document's links, or over those of them that a filter names.

    A filter on a case that the caller cannot see finds nothing.
    """
    narrowed = [Link.document_id == Document.id, *_named_links(filters or Filters())]
    return (
        select(func.coalesce(func.bit_or(_link_mask(caller)), 0).label("mask"))
        .select_from(Link)
        .where(*narrowed)
        .correlate(Document)
        .lateral("seen")
    )


def _allowed(caller: Caller, mask: LateralFromClause) -> ColumnElement[bool]:
    """Custodians see their own at every status; others see what is current and fully theirs."""
    own = and_(Document.custodian_id == caller.organisation_id, mask.c.mask != 0)
    theirs = and_(
        Document.status == Status.CURRENT,
        mask.c.mask != 0,
        mask.c.mask.op("&")(Document.required) == Document.required,
    )
    return or_(own, theirs)


def visible(caller: Caller) -> Select[Any]:
    """Select the documents the caller may see, each with its mask."""
    mask = _mask(caller)
    return select(Document, mask.c.mask).join(mask, true()).where(_allowed(caller, mask))


async def get(tx: AsyncSession, caller: Caller, document_id: str) -> Seen:
    """Return one document. Raises NotFound."""
    return await _one(tx, visible(caller).where(Document.id == document_id))


async def get_for_update(tx: AsyncSession, caller: Caller, document_id: str) -> Seen:
    """Return one document with its row locked until the commit. Raises NotFound."""
    statement = visible(caller).where(Document.id == document_id)
    return await _one(tx, statement.with_for_update(of=Document, key_share=True))


async def _one(tx: AsyncSession, statement: Select[Any]) -> Seen:
    row = (await tx.execute(statement.execution_options(populate_existing=True))).first()
    if row is None:
        raise NotFound
    return Seen(row[0], row[1])


def _listed(caller: Caller, filters: Filters) -> Select[Any]:
    mask = _mask(caller, filters)
    statement = (
        select(Document, mask.c.mask)
        .select_from(Reader)
        .join(Document, Document.id == Reader.document_id)
        .join(mask, true())
        .where(Reader.organisation_id == caller.organisation_id, _allowed(caller, mask))
    )
    if named := _named_links(filters):
        # the same again as a set of ids: a short list need not walk all the caller may see
        statement = statement.where(Reader.document_id.in_(select(Link.document_id).where(*named)))
    if filters.person_id:
        statement = statement.where(Document.person_id == filters.person_id)
    if filters.type:
        statement = statement.where(Document.type == filters.type)
    return statement


async def list_documents(
    tx: AsyncSession, caller: Caller, filters: Filters, *, limit: int, after: str | None
) -> Sequence[Seen]:
    """Return up to limit + 1 documents, newest first, with ids below `after`."""
    statement = _listed(caller, filters).order_by(Reader.document_id.desc()).limit(limit + 1)
    if after:
        statement = statement.where(Reader.document_id < after)
    return [Seen(row[0], row[1]) for row in await tx.execute(statement)]


async def count(tx: AsyncSession, caller: Caller, filters: Filters) -> int:
    """Return how many documents the list holds."""
    listed = _listed(caller, filters).with_only_columns(Document.id).subquery()
    return int(await tx.scalar(select(func.count()).select_from(listed)) or 0)


async def links(
    tx: AsyncSession, caller: Caller, document_ids: Sequence[str]
) -> dict[str, list[Link]]:
    """Return what each document is attached to, as far as the caller may know of it."""
    statement = (
        select(Link)
        .join(Document, Document.id == Link.document_id)
        .where(Link.document_id.in_(document_ids), _link_mask(caller) != 0)
        .order_by(Link.recorded_at, Link.target_id)
    )
    found: dict[str, list[Link]] = {document_id: [] for document_id in document_ids}
    for link in await tx.scalars(statement):
        found[link.document_id].append(link)
    return found


async def first_link(tx: AsyncSession, document: Document) -> Link:
    """Return what the document was attached to first: where its events belong."""
    statement = (
        select(Link)
        .where(Link.document_id == document.id)
        .order_by(Link.recorded_at, Link.target_id)
        .limit(1)
    )
    return (await tx.scalars(statement)).one()


async def contents(tx: AsyncSession, documents: Sequence[Document]) -> dict[str, Content]:
    """Return the newest content of each document that has one."""
    statement = (
        select(Content)
        .join(Document, Document.id == Content.document_id)
        .where(
            Document.id.in_([document.id for document in documents]),
            Content.number == Document.content_number,
        )
    )
    return {content.document_id: content for content in await tx.scalars(statement)}


async def get_content(tx: AsyncSession, document: Document, number: int | None) -> Content:
    """Return one content of a visible document, the newest by default. Raises NotFound."""
    content = await tx.get(Content, (document.id, number or document.content_number))
    if content is None:
        raise NotFound
    return content


async def list_contents(
    tx: AsyncSession, document: Document, *, limit: int, after: int | None
) -> Sequence[Content]:
    """Return up to limit + 1 contents of a visible document, newest first."""
    statement = select(Content).where(Content.document_id == document.id)
    if after is not None:
        statement = statement.where(Content.number < after)
    return (await tx.scalars(statement.order_by(Content.number.desc()).limit(limit + 1))).all()


async def find_case(tx: AsyncSession, caller: Caller, case_id: str) -> Target | None:
    """Return a case the caller may see anything of, as far as it is known here yet."""
    # the transaction's clock stands still while a caller waits for a grant that is just opened
    mask = shared(
        caller,
        custodian=CaseRef.custodian_id,
        person=CaseRef.person_id,
        case=CaseRef.id,
        at=now(),
    )
    row = (
        await tx.execute(
            select(CaseRef.id, CaseRef.person_id).where(CaseRef.id == case_id, mask != 0)
        )
    ).first()
    return Target(Anchor.CASE, row.id, row.person_id, row.id) if row else None


async def find_referral(tx: AsyncSession, caller: Caller, referral_id: str) -> Target | None:
    """Return a live referral the caller is a party of, as far as it is known here yet."""
    row = (
        await tx.execute(
            select(ReferralRef.id, ReferralRef.person_id, ReferralRef.case_id).where(
                ReferralRef.id == referral_id,
                ReferralRef.live,
                ReferralRef.parties.contains([caller.organisation_id]),
            )
        )
    ).first()
    return Target(Anchor.REFERRAL, row.id, row.person_id, row.case_id) if row else None


async def lock_readers(tx: AsyncSession, custodian_id: str, person_id: str) -> None:
    """Serialise changes of readers and of what makes them, until the commit.

    A grant and a document about the same person, committed at once, would otherwise each miss
    the other.
    """
    key = f"{custodian_id}\n{person_id}"
    await tx.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key})


async def add_readers(
    tx: AsyncSession, *, document_id: str | None = None, pair: tuple[str, str, str] | None = None
) -> None:
    """Write who may possibly see one document, or all that a recipient may of (custodian, person).

    `pair` is custodian, person, recipient. The same rule for both: custodian, grants, parties.
    """
    by_grant = (
        select(grant.c.recipient_id.label("organisation_id"), Document.id.label("document_id"))
        .join(Link, Link.document_id == Document.id)
        .join(
            grant,
            and_(
                grant.c.custodian_id == Document.custodian_id,
                grant.c.person_id == Document.person_id,
                or_(grant.c.case_id.is_(None), grant.c.case_id == Link.case_id),
            ),
        )
    )
    custodian = select(Document.custodian_id, Document.id)
    if document_id is not None:
        by_grant = by_grant.where(Document.id == document_id)
        custodian = custodian.where(Document.id == document_id)
    if pair is not None:
        by_grant = by_grant.where(
            Document.custodian_id == pair[0],
            Document.person_id == pair[1],
            grant.c.recipient_id == pair[2],
        )
        custodian = custodian.where(literal(value=False))
    await tx.execute(
        insert(Reader)
        .from_select(["organisation_id", "document_id"], union(by_grant, custodian))
        .on_conflict_do_nothing()
    )


async def known_keys(tx: AsyncSession, keys: Sequence[str]) -> set[str]:
    """Return those object keys that a content names."""
    return set(await tx.scalars(select(Content.object_key).where(Content.object_key.in_(keys))))


async def owner_of(session: AsyncSession, row_id: str) -> Owner | None:
    """Return the custodian and the person of a document, whoever asks; None when there is none."""
    statement = select(Document.custodian_id, Document.person_id).where(Document.id == row_id)
    row = (await session.execute(statement)).first()
    return Owner("document", *row) if row else None


async def describe(session: AsyncSession, row_id: str) -> Described | None:
    """Return what decides about a document; None when there is none."""
    found = await session.scalar(select(Document).where(Document.id == row_id))
    if found is None:
        return None
    attached = (
        select(Link, ReferralRef.parties)
        .outerjoin(
            ReferralRef, and_(Link.anchor == Anchor.REFERRAL, ReferralRef.id == Link.target_id)
        )
        .where(Link.document_id == row_id)
        .order_by(Link.recorded_at, Link.target_id)
    )
    return Described(
        resource="document",
        custodian_id=found.custodian_id,
        person_id=found.person_id,
        required=tuple(names_of(DataClass(found.required))),
        confidentiality=found.confidentiality.value,
        ways=tuple(_way(*row) for row in await session.execute(attached)),
        shared=found.status is Status.CURRENT,
    )


def _way(link: Link, parties: Sequence[str] | None) -> Way:
    if link.anchor is Anchor.CASE:
        return Way(case_id=link.case_id)
    return Way(case_id=link.case_id, referral_id=link.target_id, only=tuple(parties or ()))
