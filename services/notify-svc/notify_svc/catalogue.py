"""What partners can be told: every type with the schema and an example of the outward form.

Made from the contracts: of an event its ids, version and link go out (`events.body`); what is ours
alone (`contracts/partner`) is written down in that form.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import orjson
from sharing.classes import PART2_NOTICE
from svckit.contracts import events_dir, schema_of

from notify_svc.domain.filters import STATUS_CLASS, TRANSITIONS
from notify_svc.domain.kinds import OURS, PING, TOLD, full, short
from notify_svc.events import THIN, body

_OWN = (*map(full, OURS), PING)
_AT = datetime(2026, 3, 1, 9, 30, 0, 123456, UTC)
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NOTICE = {"const": PART2_NOTICE, "description": "Of a Part 2 record alone (42 CFR 2.32)."}


@cache
def catalogue() -> tuple[Mapping[str, Any], ...]:
    """Return an entry for every type that is told, by name."""
    told = [_of_event(kind) for kinds in TOLD.values() for kind in kinds]
    return tuple(sorted([*told, *map(_of_ours, _OWN)], key=lambda entry: entry["kind"]))


def _of_event(kind: str) -> dict[str, Any]:
    contract = schema_of(full(kind)).document
    change = contract["properties"]["change"].get("properties", {})
    example = orjson.loads((events_dir() / f"{kind}.v1.example.json").read_bytes())
    category = "need_category" in change or (kind.startswith("need.") and "category" in change)
    return {
        "type": full(kind),
        "kind": kind,
        "description": contract["description"],
        "need_category": category,
        "transitions": _transitions(kind, change.get("status", {})),
        "schema": _outward(kind, contract),
        "example": orjson.loads(body(full(kind), _AT, example)),
    }


def _transitions(kind: str, status: Mapping[str, Any]) -> list[str]:
    """Return the statuses that such an event may tell of."""
    said = [status["const"]] if "const" in status else status.get("enum", ())
    by_noun = kind.partition(".")[0] in STATUS_CLASS
    return [each for each in said if by_noun and each in TRANSITIONS]


def _outward(kind: str, contract: Mapping[str, Any]) -> dict[str, Any]:
    inner = {name: _unclassed(contract["properties"][name]) for name in THIN}
    data = {
        "type": "object",
        "additionalProperties": False,
        "required": list(THIN),
        "properties": {**inner, "redisclosure_notice": _NOTICE},
    }
    return {
        "$schema": _DIALECT,
        "title": f"{kind}.v1",
        "description": contract["description"],
        "type": "object",
        "additionalProperties": False,
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"const": full(kind)},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": data,
        },
    }


def _unclassed(field: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in field.items() if name != "x-data-class"}


def _of_ours(event_type: str) -> dict[str, Any]:
    kind = short(event_type)
    schema, example = (
        orjson.loads((events_dir().parent / "partner" / f"{kind}.v1.{form}.json").read_bytes())
        for form in ("schema", "example")
    )
    return {
        "type": event_type,
        "kind": kind,
        "description": schema["description"],
        "need_category": False,
        "transitions": [],
        "schema": schema,
        "example": example,
    }
