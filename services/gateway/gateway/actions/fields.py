"""Which fields of which resources a set of classes shows: the registry of `make contracts`."""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any


@cache
def _registry() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(
        (Path(__file__).parent.parent / "fields.json").read_text(encoding="utf-8")
    )
    return found


def resources() -> list[str]:
    """Return the names of the resources."""
    return list(_registry())


def all_of(resource: str) -> list[str]:
    """Return every field of the resource."""
    return list(_registry()[resource]["fields"])


def required(resource: str) -> list[str]:
    """Return the class that every row of the resource demands; of several, none alone does."""
    shown_by: list[str] = _registry()[resource]["shown_by"]
    return shown_by if len(shown_by) == 1 else []


def is_in_parts(resource: str) -> bool:
    """Tell whether a reader may get some fields without others; else it is all or nothing."""
    return bool(_registry()[resource]["shown_by"])


def shown_any(resource: str, classes: Iterable[str]) -> bool:
    """Tell whether a reader of these classes learns that such a row exists."""
    return not set(classes).isdisjoint(_registry()[resource]["shown_by"])


def of_classes(classes: Iterable[str]) -> dict[str, list[str]]:
    """Return by resource the fields that need one of these classes: what is gained or lost."""
    named = set(classes)
    return _chosen(lambda _, needed: bool(needed & named))


def shown(classes: Iterable[str]) -> dict[str, list[str]]:
    """Return by resource every field that a reader of these classes gets; none: not the resource.

    A row's labels and kind may ask for more than its resource does.
    """
    seen = set(classes)
    return _chosen(lambda by, needed: bool(by & seen) and needed <= seen)


def _chosen(wanted: Any) -> dict[str, list[str]]:
    found = {
        resource: [
            field
            for field, needed in entry["fields"].items()
            if wanted(set(entry["shown_by"]), set(needed))
        ]
        for resource, entry in _registry().items()
    }
    return {resource: names for resource, names in found.items() if names}
