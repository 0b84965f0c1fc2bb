"""Every SELECT of documents. Reads start at `_visible`: not yours and not there are one.

Access follows what the document is attached to: a case link needs the classes for that case, a
referral link needs them too and that the caller is a party of that referral.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sharing import Reader, sql
from sharing.kept import AFTER_ALL, Statement, at_least, given, kept, narrowing
from sharing.tables import grant
from sqlalchemy import (
    ColumnElement,
    DateTime,
    Integer,
    Select,
    Text,
    and_,
    any_,
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
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.selectable import LateralFromClause
from svckit.clock import now
from svckit.errors import NotFound
from svckit.identity import Caller

from document_svc.domain import Anchor, Status
from document_svc.models import CaseRef, Content, Document, Link, ReferralRef
from document_svc.models import Reader as Reading


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


class Attached(NamedTuple):
    """One link of a document, and the rank of its confidentiality by it: the case's at least."""

    link: Link
    confidentiality: int


class Target(NamedTuple):
    """A case or referral that documents can be attached to."""

    anchor: Anchor
    id: str
    person_id: str
    case_id: str | None


_REFERRAL = case((Link.anchor == Anchor.REFERRAL, Link.target_id), else_=null())
_PROTECTED = sql.protected(case=Link.case_id, confidentiality=Document.confidentiality)


def _link_mask(reader: Reader) -> ColumnElement[int]:
    """Give the classes that one link of a document shows the caller; nothing: 0."""
    party = (
        select(literal(1))
        .where(
            ReferralRef.id == Link.target_id, ReferralRef.parties.has_key(sql.organisation(reader))
        )
        .correlate(Link)
        .exists()
    )
    return case(
        (
            or_(Document.custodian_id == reader.organisation_id, Link.anchor == Anchor.CASE, party),
            sql.shared(
                reader,
                custodian=Document.custodian_id,
                person=Document.person_id,
                case=Link.case_id,
                referral=_REFERRAL,
                confidentiality=_PROTECTED,
            ),
        ),
        else_=0,
    )


def _named_links(names: frozenset[str]) -> list[ColumnElement[bool]]:
    """Return what a filter demands of the link by which a document is seen."""
    of_referral = Link.target_id == given("referral_id")
    named: dict[str, ColumnElement[bool]] = {
        "case_id": Link.case_id == given("case_id"),
        "referral_id": and_(Link.anchor == Anchor.REFERRAL, of_referral),
    }
    return [condition for name, condition in named.items() if name in names]


def _mask(reader: Reader, names: frozenset[str] = frozenset()) -> LateralFromClause:
    """Give the union over a document's links, or over those of them that a filter names.

    A filter on a case that the caller cannot see finds nothing.
    """
    narrowed = [Link.document_id == Document.id, *_named_links(names)]
    return (
        select(func.coalesce(func.bit_or(_link_mask(reader)), 0).label("mask"))
        .select_from(Link)
        .where(*narrowed)
        .correlate(Document)
        .lateral("seen")
    )


def _allowed(reader: Reader, mask: LateralFromClause) -> ColumnElement[bool]:
    """Custodians see their own at every status; others see what is current and fully theirs."""
    own = and_(Document.custodian_id == reader.organisation_id, mask.c.mask != 0)
    theirs = and_(
        Document.status == Status.CURRENT,
        mask.c.mask != 0,
        mask.c.mask.op("&")(Document.required) == Document.required,
    )
    return or_(own, theirs)


@kept
def _visible(reader: Reader) -> Select[Any]:
    mask = _mask(reader)
    which = _allowed(reader, mask), Document.id == given("document_id")
    found = select(Document, mask.c.mask).select_from(Document)
    return found.join(mask, true()).where(*which)


@kept
def _locked(reader: Reader) -> Select[Any]:
    return _visible.build(reader).with_for_update(of=Document, key_share=True)


async def get(tx: AsyncSession, caller: Caller, document_id: str) -> Seen:
    """Return one document. Raises NotFound."""
    return _one(await _visible.first(tx, caller, {"document_id": document_id}))


async def get_for_update(tx: AsyncSession, caller: Caller, document_id: str) -> Seen:
    """Return one document with its row locked until the commit. Raises NotFound."""
    return _one(await _locked.locked(tx, caller, {"document_id": document_id}))


async def get_with_content(
    tx: AsyncSession, caller: Caller, document_id: str, number: int | None
) -> tuple[Seen, Content | None]:
    """Return one document and a content of it, the newest by default. Raises NotFound."""
    row = await _readable.first(tx, caller, {"document_id": document_id, "number": number})
    *seen, content = row or (None,)
    return _one(seen), content


@kept
def _readable(reader: Reader) -> Select[Any]:
    number = func.coalesce(given("number", Integer()), Document.content_number)
    which = and_(Content.document_id == Document.id, Content.number == number)
    return _visible.build(reader).outerjoin(Content, which).add_columns(Content)


def _one(row: Any) -> Seen:
    if row:
        return Seen(*row)
    raise NotFound


def _listed(reader: Reader, names: frozenset[str]) -> Select[Any]:
    mask = _mask(reader, names)
    statement = (
        select(Document, mask.c.mask)
        .select_from(Reading)
        .join(Document, sql.looked_up(Document.id, Reading.document_id))
        .join(mask, true())
        .where(Reading.organisation_id == reader.organisation_id, _allowed(reader, mask))
    )
    if named := _named_links(names):
        # the same again as a set of ids: a short list need not walk all the caller may see
        statement = statement.where(Reading.document_id.in_(select(Link.document_id).where(*named)))
    equal = {"person_id": Document.person_id, "type": Document.type}
    return statement.where(*(equal[name] == given(name) for name in equal if name in names))


async def list_documents(
    tx: AsyncSession, caller: Caller, filters: Filters, *, limit: int, after: str | None
) -> Sequence[Seen]:
    """Return up to limit + 1 documents, newest first, with ids below `after`."""
    values = narrowing(filters)
    names = frozenset(values)
    values["after"] = after or AFTER_ALL
    rows = await _page.rows(tx, caller, values, names, at_least(limit + 1))
    return [Seen(*row) for row in rows[: limit + 1]]


@kept
def _page(reader: Reader, names: frozenset[str], limit: int) -> Select[Any]:
    return (
        _listed(reader, names)
        .where(Reading.document_id < given("after"))
        .order_by(Reading.document_id.desc())
        .limit(limit)
    )


async def count(tx: AsyncSession, caller: Caller, filters: Filters) -> int:
    """Return how many documents the list holds."""
    values = narrowing(filters)
    [[counted]] = await _counted.rows(tx, caller, values, frozenset(values))
    return int(counted)


@kept
def _counted(reader: Reader, names: frozenset[str]) -> Select[Any]:
    listed = _listed(reader, names).with_only_columns(Document.id).subquery()
    return select(func.count()).select_from(listed)


async def links(
    tx: AsyncSession, caller: Caller, document_ids: Sequence[str]
) -> dict[str, list[Attached]]:
    """Return what each document is attached to, as far as the caller may know of it."""
    found: dict[str, list[Attached]] = {document_id: [] for document_id in document_ids}
    for row in await _links.rows(tx, caller, {"document_ids": list(found)}):
        found[row[0].document_id].append(Attached(*row))
    return found


@kept
def _links(reader: Reader) -> Select[Any]:
    columns: list[Any] = [Link, _PROTECTED.rank]
    found: Select[Any] = select(*columns)
    return (
        found.join(Document, Document.id == Link.document_id)
        .where(
            Link.document_id == any_(given("document_ids", ARRAY(Text))), _link_mask(reader) != 0
        )
        .order_by(Link.recorded_at, Link.target_id)
    )


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
    row = await _target.first(tx, caller, {"case_id": case_id, "at": now()})
    return Target(Anchor.CASE, row[0], row[1], row[0]) if row else None


@kept
def _target(reader: Reader) -> Statement:
    mask = sql.shared(
        reader,
        custodian=CaseRef.custodian_id,
        person=CaseRef.person_id,
        case=CaseRef.id,
        confidentiality=sql.protected(case=CaseRef.id),
        at=given("at", DateTime(timezone=True)),
    )
    return select(CaseRef.id, CaseRef.person_id).where(CaseRef.id == given("case_id"), mask != 0)


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
        insert(Reading)
        .from_select(["organisation_id", "document_id"], union(by_grant, custodian))
        .on_conflict_do_nothing()
    )


async def known_keys(tx: AsyncSession, keys: Sequence[str]) -> set[str]:
    """Return those object keys that a content names."""
    return set(await tx.scalars(select(Content.object_key).where(Content.object_key.in_(keys))))
