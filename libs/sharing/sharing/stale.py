"""What a decision compiles to while the rights are not fresh: the custodian's own, or a refusal.

Not "nothing": a row that is hidden answers 404, and a list without it looks whole. The statement
fails as soon as it meets a row that it would have to decide on, and `svckit.problems` says so.
"""

from sqlalchemy import Boolean, ColumnElement, Integer, Text, cast, literal
from sqlalchemy import case as switch
from svckit.rights import REFUSAL

from sharing.classes import ALL
from sharing.compiler import Column, number


def own_or_refused(organisation_id: str, custodian: Column) -> ColumnElement[int]:
    """Return every class of the organisation's own row; any other row ends the statement."""
    own = custodian == organisation_id
    return switch((own, number(ALL)), else_=cast(_refusal(custodian), Integer))


def refused(of: Column) -> ColumnElement[bool]:
    """Return a condition that ends the statement as soon as a row is asked."""
    return cast(_refusal(of), Boolean)


def _refusal(of: Column) -> ColumnElement[str]:
    # by way of a column: a constant would be cast while the statement is planned
    return switch((of.is_(None), literal(f"{REFUSAL} ", Text)), else_=literal(REFUSAL, Text))
