"""Writes `gateway/fields.json`: which classes a reader needs for each field of each resource.

Read off the OpenAPI documents (`x-data-class`), so that what the gateway explains and previews is
what the services answer. The second table says which class shows that such a row exists at all; a
row's labels and kind may ask for more.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parent.parent / "services" / "gateway" / "gateway" / "fields.json"
_SOURCES = ("case-svc", "referral-svc", "document-svc")
# resource -> its schema, and the classes of which one at least must be seen
_RESOURCES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "person": ("RecordOut", ("identity", "contact", "financial")),
    "case": ("CaseOut", ("coordination", "outcome")),
    "need": ("NeedOut", ("needs",)),
    "assessment": ("AssessmentOut", ("needs",)),
    "goal": ("GoalOut", ("plan",)),
    "activity": ("ActivityOut", ("plan",)),
    "task": ("TaskOut", ("coordination",)),
    "note": ("NoteOut", ("notes",)),
    "decision": ("DecisionOut", ("coordination",)),
    "care-team": ("MemberOut", ("coordination",)),
    "party": ("PartyOut", ("coordination",)),
    "number": ("NumberOut", ("coordination",)),
    "referral": ("ReferralOut", ("coordination", "outcome")),
    "message": ("MessageOut", ("notes",)),
    # shown whole, by the data class it was given
    "document": ("DocumentOut", ()),
}


def text(folder: Path) -> str:
    """Return the registry as JSON, from the OpenAPI documents in the folder."""
    schemas: dict[str, Any] = {}
    for service in _SOURCES:
        document = json.loads((folder / f"{service}.v1.json").read_text())
        # two services name a nested model alike; the first is case-svc's, whose rows we list
        schemas = {**document["components"]["schemas"], **schemas}
    found = {
        resource: {
            "shown_by": list(shown_by),
            "fields": {
                path: sorted(needed) for path, needed in _walk(schemas, schema, frozenset())
            },
        }
        for resource, (schema, shown_by) in _RESOURCES.items()
    }
    return json.dumps(found, indent=1, sort_keys=True) + "\n"


def _walk(
    schemas: Mapping[str, Any], name: str, above: frozenset[str], path: str = "", depth: int = 0
) -> Iterator[tuple[str, frozenset[str]]]:
    for field, schema in schemas[name]["properties"].items():
        own = schema.get("x-data-classes") or [schema.get("x-data-class")]
        # what a row's custodian alone gets, no partner is told to see
        if own == [None] or schema.get("x-custodian-only"):
            continue
        needed = above | (set(own) - {"envelope"})
        here = f"{path}{field}"
        yield here, needed
        for nested in _named_in(schema) if depth < 3 else ():  # noqa: PLR2004  # no deeper is any
            if "properties" in schemas[nested]:
                yield from _walk(schemas, nested, needed, f"{here}.", depth + 1)


def _named_in(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].rpartition("/")[2]
        for value in schema.values():
            yield from _named_in(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _named_in(value)


def write(folder: Path) -> None:
    """Write the registry beside the gateway's code."""
    FILE.write_text(text(folder))
