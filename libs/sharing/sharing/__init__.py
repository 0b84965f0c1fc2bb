"""One policy of who may see what, on every path: SQL, projection, events, explanation.

`rule.py` is the rule, as nodes of the closed `algebra.py`; `sql.py` compiles it, `evaluate.py`
computes it, `explain.py` does so with reasons, `events.py` filters the feed with it, `fields.py`
projects what it shows. `explain(reader, row, facts, at=...)` says why one reader sees what it sees,
`who_can_see(row, facts, organisations, at=...)` who sees anything.
`policy.yaml` is the ceiling per kind and purpose; `replica.py` keeps the facts in every service.
"""

from sharing.classes import ALL, ENVELOPE, DataClass, mask_of, names_of
from sharing.evaluate import Decision, evaluate
from sharing.events import visible_event
from sharing.explain import Explanation, explain, who_can_see
from sharing.fields import class_map, classed, may_show, project, unclassed
from sharing.model import Agreement, Consent, Facts, Grant, Organisation, Reader, Row, Seal

__all__ = [
    "ALL",
    "ENVELOPE",
    "Agreement",
    "Consent",
    "DataClass",
    "Decision",
    "Explanation",
    "Facts",
    "Grant",
    "Organisation",
    "Reader",
    "Row",
    "Seal",
    "class_map",
    "classed",
    "evaluate",
    "explain",
    "mask_of",
    "may_show",
    "names_of",
    "project",
    "unclassed",
    "visible_event",
    "who_can_see",
]
