"""The masks that every read of the case file begins with.

A case: what grants open to the caller, and nothing at all while it is sealed. A row in a case: what
its author opened, and for the case's custodian what others filed with it; only within a case that
the caller sees.
"""

from typing import Any, Generic, NamedTuple, TypeVar

from sharing import Reader, sql
from sharing.confidentiality import Confidentiality
from sqlalchemy import ColumnElement, Integer, Text, and_, case, func, literal, null, type_coerce
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.selectable import LateralFromClause
from svckit.errors import NotFound

from case_svc.domain.classes import CASE_SHOWS, FILED, RECORD_SHOWS
from case_svc.models import CaseFile, ClientRecord, Need, Note, TimelineEntry
from case_svc.models.base import InCase

T = TypeVar("T")
Row = TypeVar("Row")

# the referral that an entry of the timeline tells of
_ENTERED = case(
    (TimelineEntry.action.startswith("referral."), TimelineEntry.resource_id),
    (TimelineEntry.action == "message.sent", TimelineEntry.change["referral_id"].astext),
    else_=null(),
)


def rank(column: ColumnElement[Any] | InstrumentedAttribute[Any]) -> ColumnElement[int]:
    """Return the rank of a column of codes of confidentiality; null of null."""
    ranks = {code.value: place for place, code in enumerate(Confidentiality)}
    return case(ranks, value=type_coerce(column, Text))


# a row is at least as confidential as its case
_PROTECTED: dict[str, ColumnElement[int]] = {
    model.__tablename__: func.greatest(
        rank(CaseFile.confidentiality), rank(model.confidentiality), type_=Integer
    )
    for model in (Need, Note, TimelineEntry)
}


class Seen(NamedTuple, Generic[T]):
    """A row with the mask of what the caller sees of it.

    Of a row of a case also whom it is about, and how confidential the case is.
    """

    row: T
    mask: int
    person_id: str | None = None
    protected: Confidentiality = Confidentiality.UNRESTRICTED


def found(row: Row | None) -> Row:
    """Return the row. Raises NotFound when there is none."""
    if row is None:
        raise NotFound
    return row


def case_mask(
    caller: Reader, confidentiality: ColumnElement[int] | None = None
) -> ColumnElement[int]:
    """Return what the caller sees of the case of the row, or of one as confidential as that."""
    given = sql.shared(
        caller,
        custodian=CaseFile.custodian_id,
        person=CaseFile.person_id,
        case=CaseFile.id,
        confidentiality=CaseFile.confidentiality if confidentiality is None else confidentiality,
    )
    foreign = CaseFile.custodian_id != caller.organisation_id
    return case((and_(CaseFile.sealed, foreign), _nothing()), else_=given)


def case_seen(caller: Reader) -> LateralFromClause:
    """Return the lateral `mask` of a statement over CaseFile."""
    return sql.lateral(case_mask(caller))


def shows_case(mask: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return whether the mask shows that the case exists."""
    return sql.may_see_any(mask, CASE_SHOWS)


def row_mask(
    caller: Reader, model: type[InCase], confidentiality: ColumnElement[int] | None = None
) -> ColumnElement[int]:
    """Return what the caller sees of a row of a case; the statement joins CaseFile to it."""
    given = sql.shared(
        caller,
        custodian=model.custodian_id,
        person=CaseFile.person_id,
        case=CaseFile.id,
        referral=_ENTERED if model.__tablename__ == TimelineEntry.__tablename__ else None,
        confidentiality=_PROTECTED.get(model.__tablename__, CaseFile.confidentiality)
        if confidentiality is None
        else confidentiality,
    )
    filed = case(
        (CaseFile.custodian_id == caller.organisation_id, literal(int(FILED), Integer)),
        else_=_nothing(),
    )
    return given.op("|")(filed)


def shows_row(mask: ColumnElement[Any], model: type[InCase]) -> ColumnElement[bool]:
    """Return whether the mask shows that the row exists."""
    return sql.may_see(mask, type_coerce(model.classes, Integer))


def record_mask(caller: Reader) -> ColumnElement[int]:
    """Return what the caller sees of a client record."""
    return sql.shared(caller, custodian=ClientRecord.custodian_id, person=ClientRecord.person_id)


def shows_record(mask: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return whether the mask shows that the client record exists."""
    return sql.may_see_any(mask, RECORD_SHOWS)


def _nothing() -> ColumnElement[int]:
    return literal(0, Integer)
