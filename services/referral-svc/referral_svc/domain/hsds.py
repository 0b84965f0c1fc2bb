"""Reading Open Referral HSDS 3.0/3.1 JSON: what arrived, item by item, good or refused.

A document may be one object, an array, a page with `contents`, a tabular package
(`{"services.csv": [...]}`) or a publisher's `base.json`. Each becomes a flat list of items in
the order they must be stored; whatever the schemas do not name is kept in `document`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from svckit.errors import FieldError, Invalid

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
STATUSES = frozenset({"active", "inactive", "defunct", "temporarily closed"})
LOCATION_TYPES = frozenset({"physical", "postal", "virtual"})

Node = Mapping[str, Any]


class Kind(StrEnum):
    ORGANIZATION = "organization"
    SERVICE = "service"
    LOCATION = "location"
    SERVICE_AT_LOCATION = "service_at_location"
    TAXONOMY = "taxonomy"
    TAXONOMY_TERM = "taxonomy_term"
    API = "api"  # a publisher's base.json: understood, nothing to store
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Item:
    """One thing to store. `refers` holds HSDS ids of the things it belongs to."""

    pointer: str
    kind: Kind
    document: Node
    refers: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[FieldError, ...] = ()

    @property
    def hsds_id(self) -> str | None:
        value = self.document.get("id")
        return value.lower() if isinstance(value, str) and _UUID.fullmatch(value) else None


class NotHsds(Invalid):
    code = "not-hsds"


def read(payload: object) -> list[Item]:
    """Return every organisation, service, location and term of an HSDS document.

    Raises:
        NotHsds: the body is neither an object nor an array of them, or is nested without end.
    """
    try:
        return list(_items(payload))
    except RecursionError:
        raise NotHsds("The document is nested too deeply.") from None


def _items(payload: object) -> Iterator[Item]:
    if isinstance(payload, list):
        yield from _entries(payload, "")
    elif not isinstance(payload, Mapping):
        raise NotHsds("An HSDS document is a JSON object or an array of objects.")
    elif any(key.endswith(".csv") for key in payload):
        yield from _entries(list(nested(payload)), "")
    elif isinstance(payload.get("contents"), list):
        yield from _entries(payload["contents"], "/contents")
    else:
        yield from _item(payload, "")


def _entries(nodes: list[Any], pointer: str) -> Iterator[Item]:
    for index, node in enumerate(nodes):
        at = f"{pointer}/{index}"
        if isinstance(node, Mapping):
            source = node.get("x-pointer")
            yield from _item(node, source if isinstance(source, str) else at)
        else:
            wrong = FieldError(f"#{at}", "type", "An entry is a JSON object.")
            yield Item(at, Kind.UNKNOWN, {}, errors=(wrong,))


_MARKS: tuple[tuple[Kind, frozenset[str]], ...] = (
    (Kind.API, frozenset({"openapi_url"})),
    (Kind.LOCATION, frozenset({"location_type", "latitude", "longitude", "addresses"})),
    (
        Kind.SERVICE,
        frozenset(
            {"status", "eligibility_description", "minimum_age", "maximum_age", "program_id"}
            | {"application_process", "fees_description", "interpretation_services", "capacities"}
            | {"service_areas", "service_at_locations", "cost_options", "required_documents"}
        ),
    ),
    (Kind.TAXONOMY_TERM, frozenset({"taxonomy", "taxonomy_id", "taxonomy_detail", "term_uri"})),
    (Kind.TAXONOMY_TERM, frozenset({"code", "parent_id"})),
    (Kind.TAXONOMY, frozenset({"version"})),
)


def kind_of(node: Node) -> Kind:
    """Tell what an HSDS object is; HSDS objects carry no type, so its properties decide."""
    has_parts = ("location" in node or "location_id" in node) and "name" not in node
    if has_parts and ("service" in node or "service_id" in node or "location" in node):
        return Kind.SERVICE_AT_LOCATION
    for kind, marks in _MARKS:
        if marks & node.keys():
            return kind
    return Kind.ORGANIZATION if {"id", "name"} & node.keys() else Kind.UNKNOWN


def _item(node: Node, at: str) -> Iterator[Item]:
    kind = kind_of(node)
    if kind is Kind.ORGANIZATION:
        yield from _organization(node, at)
    elif kind is Kind.SERVICE:
        yield from _service(node, at, {})
    elif kind is Kind.LOCATION:
        yield _checked(Item(at, kind, node))
    elif kind is Kind.SERVICE_AT_LOCATION:
        yield from _service_at_location(node, at, {})
    else:
        yield _checked(Item(at, kind, node))


def _organization(node: Node, at: str) -> Iterator[Item]:
    plain = {key: value for key, value in node.items() if key not in {"services", "locations"}}
    item = _checked(Item(at, Kind.ORGANIZATION, plain))
    yield item
    for place, where in _children(node, "locations", at):
        yield _checked(Item(where, Kind.LOCATION, place))
    refers = {"organization": item.hsds_id} if item.hsds_id else {}
    for service, where in _children(node, "services", at):
        yield from _service(service, where, refers)


def _service(node: Node, at: str, refers: Mapping[str, str]) -> Iterator[Item]:
    parent = node.get("organization")
    known = dict(refers) | _reference(node, "organization")
    if isinstance(parent, Mapping):
        yield from _organization(parent, f"{at}/organization")
    item = _checked(Item(at, Kind.SERVICE, node, known))
    yield item
    for site, where in _children(node, "service_at_locations", at):
        yield from _service_at_location(site, where, {"service": item.hsds_id or ""})


def _service_at_location(node: Node, at: str, refers: Mapping[str, str]) -> Iterator[Item]:
    known = {**_reference(node, "service"), **_reference(node, "location"), **refers}
    if isinstance(node.get("service"), Mapping):
        yield from _service(node["service"], f"{at}/service", {})
    if isinstance(node.get("location"), Mapping):
        yield _checked(Item(f"{at}/location", Kind.LOCATION, node["location"]))
    plain = {key: value for key, value in node.items() if key not in {"service", "location"}}
    yield _checked(Item(at, Kind.SERVICE_AT_LOCATION, plain, known))


def _children(node: Node, key: str, at: str) -> Iterator[tuple[Node, str]]:
    found = node.get(key)
    for index, child in enumerate(found if isinstance(found, list) else []):
        if isinstance(child, Mapping):
            yield child, f"{at}/{key}/{index}"


def _reference(node: Node, name: str) -> dict[str, str]:
    nested_node = node.get(name)
    value = nested_node.get("id") if isinstance(nested_node, Mapping) else node.get(f"{name}_id")
    return {name: value.lower()} if isinstance(value, str) else {}


_REQUIRED: Mapping[Kind, tuple[str, ...]] = {
    Kind.ORGANIZATION: ("id", "name", "description"),
    Kind.SERVICE: ("id", "name", "status"),
    Kind.LOCATION: ("id", "location_type"),
    Kind.SERVICE_AT_LOCATION: ("id",),
    Kind.TAXONOMY: ("id", "name", "description"),
    Kind.TAXONOMY_TERM: ("id", "name", "description"),
    Kind.API: (),
    Kind.UNKNOWN: (),
}
_NUMBERS = ("minimum_age", "maximum_age", "latitude", "longitude")
_TEXTS = ("name", "alternate_name", "description", "email", "url", "eligibility_description")
_ARRAYS = (
    *("schedules", "languages", "service_areas", "service_at_locations", "attributes"),
    *("capacities", "locations", "services", "addresses", "need_categories"),
)


def _checked(item: Item) -> Item:
    """Return the item with what is wrong with it, one error per offending property."""
    at = item.pointer
    node = item.document
    wrong = [
        FieldError(f"#{at}/{name}", "required", f"An HSDS {item.kind.value} has `{name}`.")
        for name in _REQUIRED[item.kind]
        if node.get(name) in (None, "")
    ]
    if node.get("id") is not None and item.hsds_id is None:
        wrong.append(FieldError(f"#{at}/id", "format", "An HSDS id is a UUID."))
    for names, accepted, told in (
        (_NUMBERS, (int, float), "number"),
        (_TEXTS, (str,), "string"),
        (_ARRAYS, (list,), "array"),
    ):
        for name in names:
            value = node.get(name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, accepted)):
                wrong.append(FieldError(f"#{at}/{name}", "type", f"`{name}` is a JSON {told}."))
    wrong += _closed(node, at, "status", STATUSES if item.kind is Kind.SERVICE else None)
    wrong += _closed(node, at, "location_type", LOCATION_TYPES)
    if item.kind is Kind.UNKNOWN:
        wrong.append(FieldError(f"#{at}", "unknown", "This is no HSDS object known here."))
    return Item(at, item.kind, node, item.refers, tuple(wrong))


def _closed(node: Node, at: str, name: str, values: frozenset[str] | None) -> list[FieldError]:
    value = node.get(name)
    if values is None or value in (None, "") or (isinstance(value, str) and value in values):
        return []
    told = ", ".join(sorted(values))
    return [FieldError(f"#{at}/{name}", "enum", f"`{name}` is one of: {told}.")]


_CELLS = frozenset(
    {*_NUMBERS, "available", "maximum", "timezone", "count", "interval", "amount"}
    | {"year_incorporated"}
)
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?")

_SERVICE_PARTS = {
    "schedules.csv": "schedules",
    "service_areas.csv": "service_areas",
    "languages.csv": "languages",
    "phones.csv": "phones",
    "contacts.csv": "contacts",
    "cost_options.csv": "cost_options",
    "required_documents.csv": "required_documents",
    "funding.csv": "funding",
    "service_capacity.csv": "capacities",
}
_LOCATION_PARTS = {
    "schedules.csv": "schedules",
    "languages.csv": "languages",
    "phones.csv": "phones",
    "contacts.csv": "contacts",
    "addresses.csv": "addresses",
    "accessibility.csv": "accessibility",
}


def nested(tables: Node) -> Iterator[dict[str, Any]]:
    """Turn a tabular package into nested objects; `x-pointer` tells the row each came from."""
    for row in _rows(tables, "organizations.csv"):
        yield row
    for row in _rows(tables, "locations.csv"):
        yield row | _parts(tables, "location_id", row, _LOCATION_PARTS)
    for row in _rows(tables, "services.csv"):
        terms = _attributes(tables, row)
        yield row | _parts(tables, "service_id", row, _SERVICE_PARTS) | terms
    for name in ("service_at_location.csv", "taxonomies.csv", "taxonomy_terms.csv"):
        yield from _rows(tables, name)


def _rows(tables: Node, name: str) -> Iterator[dict[str, Any]]:
    rows = tables.get(name)
    for index, row in enumerate(rows if isinstance(rows, list) else []):
        content = _typed(row) if isinstance(row, Mapping) else {}
        yield content | {"x-pointer": f"/{name}/{index}"}


def _plain(tables: Node, name: str) -> list[dict[str, Any]]:
    """Return the rows of what is only part of something else."""
    rows = _rows(tables, name)
    return [{key: value for key, value in row.items() if key != "x-pointer"} for row in rows]


def _typed(row: Node) -> dict[str, Any]:
    """Return the row without its empty cells, with numbers where HSDS has numbers (CSV has text)."""
    filled = {column: value for column, value in row.items() if value is not None and value != ""}
    for column in _CELLS & filled.keys():
        value = filled[column]
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            filled[column] = float(value) if "." in value else int(value)
    return filled


def _parts(tables: Node, key: str, row: Node, parts: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, part in parts.items():
        children = [
            child
            for child in _plain(tables, name)
            if child.get(key) is not None and child.get(key) == row.get("id")
        ]
        if children:
            found[part] = children
    return found


def _attributes(tables: Node, row: Node) -> dict[str, Any]:
    terms = {str(term.get("id")): term for term in _plain(tables, "taxonomy_terms.csv")}
    found = [
        attribute | {"taxonomy_term": terms.get(str(attribute.get("taxonomy_term_id")))}
        for attribute in _plain(tables, "attributes.csv")
        if attribute.get("link_id") == row.get("id")
    ]
    return {"attributes": found} if found else {}
