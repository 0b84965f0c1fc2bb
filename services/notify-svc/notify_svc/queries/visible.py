"""The one decision over a message: the same expression for feed, fan-out and attempt."""

from typing import Any

from sharing import sql
from sharing.compiler import Expression
from sharing.model import Reader
from sqlalchemy import ColumnElement, and_, any_, case, or_

from notify_svc.models import Message

CLASSES = Message.__table__.c.classes

# a message is at least as confidential as its case is by now
_PROTECTED = sql.protected(
    case=Message.__table__.c.case_id, confidentiality=Message.__table__.c.confidentiality
)


def visible(reader: Reader, required: Expression | None = None) -> ColumnElement[bool]:
    """Return whether the reader may learn of a message now.

    `required` are the classes that are needed in place of the message's own: more than these, where
    a filter asks about a field of some class.
    The custodian and, while the case is not sealed, the parties have a standing of their own.
    Anyone else needs, by libs/sharing, every class of the event. An event about the person's own
    record is reached by every grant about that person; any other by the grants that hold for its
    case, and for its referral when it has one.
    """
    own = sql.organisation(reader)
    about_person = _mask(reader, None)
    about_case = _mask(reader, Message.case_id)
    mask = case((Message.subject == Message.person_id, about_person), else_=about_case)
    return or_(
        Message.custodian_id == own,
        and_(own == any_(Message.parties), ~sql.sealed(reader, case=Message.case_id)),
        sql.may_see(mask, CLASSES if required is None else required),
    )


def _mask(reader: Reader, of_case: Any) -> ColumnElement[int]:
    return sql.shared(
        reader,
        custodian=Message.custodian_id,
        person=Message.person_id,
        case=of_case,
        referral=Message.referral_id,
        confidentiality=_PROTECTED,
    )
