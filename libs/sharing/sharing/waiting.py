"""Cases of which an event waits for an operator: a seal or a label may be in it, so they are closed.

For services that know of cases by the replica alone. It needs no rule: nobody but the custodian sees
anything of such a case until the event was applied, or given up.
"""

from sqlalchemy import ColumnElement, and_, select
from svckit.tables import blocked_key

from sharing.compiler import Column

# where case-svc tells of cases, by the case's id
CASES = "case.v1"


def waits(case: Column) -> ColumnElement[bool]:
    """Return whether an event of the case could not be applied yet; false where there is no case."""
    # few rows or none, read once for a statement: not looked into for each row
    key = blocked_key.alias()
    waiting = select(key.c.key).where(key.c.topic == CASES).correlate_except(key)
    return and_(case.is_not(None), case.in_(waiting))
