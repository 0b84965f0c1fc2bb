"""The one decision over what is told: the same expression for feed, fan-out, attempt and inbox."""

from functools import cache
from typing import Any

from sharing import sql
from sharing.compiler import Expression
from sharing.model import Reader
from sqlalchemy import ColumnElement, and_, any_, case, or_

from notify_svc.models import Message
from notify_svc.models.inbox import Decided

Told = type[Message] | type[Decided]
CLASSES = Message.__table__.c.classes


@cache
def _protected(told: Told) -> sql.Protected:
    """What is told is at least as confidential as its case is by now."""
    columns = told.__table__.c
    return sql.protected(case=columns.case_id, confidentiality=columns.confidentiality)


def visible(
    reader: Reader, required: Expression | None = None, told: Told = Message
) -> ColumnElement[bool]:
    """Return whether the reader may learn of a message, or of what its kind of row is about, now.

    `required` are the classes that are needed in place of the message's own: more than these, where
    a filter asks about a field of some class.
    The custodian has a standing of its own; so have the parties, while the case is neither sealed nor
    waits for an operator.
    Anyone else needs, by libs/sharing, every class of the event. An event about the person's own
    record is reached by every grant about that person; any other by the grants that hold for its
    case, and for its referral when it has one.
    """
    own = sql.organisation(reader)
    about_person = mask(reader, None, told)
    about_case = mask(reader, told.case_id, told)
    seen = case((told.subject == told.person_id, about_person), else_=about_case)
    return or_(
        told.custodian_id == own,
        and_(own == any_(told.parties), ~sql.sealed(reader, case=told.case_id)),
        sql.may_see(seen, told.__table__.c.classes if required is None else required),
    )


def mask(reader: Reader, of_case: Any, told: Told = Message) -> ColumnElement[int]:
    """Return the classes that the reader sees of the case, or without one of the person's record."""
    return sql.shared(
        reader,
        custodian=told.custodian_id,
        person=told.person_id,
        case=of_case,
        referral=told.referral_id,
        confidentiality=_protected(told),
    )
