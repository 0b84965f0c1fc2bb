"""HSDS documents as column values: which properties the directory searches and shows."""

from collections.abc import Iterable, Mapping
from typing import Any

from referral_svc.domain.hsds import Node
from referral_svc.domain.needs import CapacityStatus, categories_of, is_need_category

SERVICE_COLUMNS = (
    *("name", "alternate_name", "description", "status", "url", "email"),
    *("eligibility_description", "minimum_age", "maximum_age"),
)


def merged(known: Node | None, found: Node) -> dict[str, Any]:
    """Lay what arrived over what was known, by property.

    A list page that carries a summary does not erase what a full record said before.
    """
    return {**(known or {}), **{key: value for key, value in found.items() if key != "x-pointer"}}


def children(node: Node, key: str) -> list[dict[str, Any]]:
    """Return the objects under an array property; anything else there is passed over."""
    found = node.get(key)
    return [child for child in found if isinstance(child, dict)] if isinstance(found, list) else []


def text(node: Node, key: str) -> str | None:
    value = node.get(key)
    return value if isinstance(value, str) else None


def number(node: Node, key: str) -> float | None:
    value = node.get(key)
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if known and value is not None else None


def schedule(node: Node) -> dict[str, Any]:
    return {name: text(node, name) for name in ("freq", "byday", "opens_at", "closes_at")}


def language(node: Node) -> dict[str, Any]:
    return {"code": text(node, "code"), "name": text(node, "name")}


def service_area(node: Node) -> dict[str, Any]:
    return {name: text(node, name) for name in ("name", "description", "extent_type")}


def capacity(node: Node) -> dict[str, Any]:
    unit = node.get("unit")
    return {
        "available": number(node, "available"),
        "maximum": number(node, "maximum"),
        "unit": text(unit, "name") if isinstance(unit, Mapping) else None,
    }


def classification(node: Node) -> dict[str, Any]:
    term = node.get("taxonomy_term")
    found = term if isinstance(term, Mapping) else {}
    return {
        "code": text(found, "code"),
        "name": text(found, "name") or text(node, "label"),
        "taxonomy": text(found, "taxonomy"),
    }


def need_categories(document: Node, declared: list[str] | None) -> list[str]:
    """Return the owner's own word if there is one, else what the taxonomy terms map to.

    A publisher may also put Gravity codes in a `need_categories` property of the service.
    """
    if declared is not None:
        return sorted(declared)
    given = document.get("need_categories")
    codes = [code for code in given if isinstance(code, str)] if isinstance(given, list) else []
    if known := sorted({code for code in codes if is_need_category(code)}):
        return known
    terms = [classification(node) for node in children(document, "attributes")]
    return categories_of((term["code"], term["name"]) for term in terms)


def capacity_status(document: Node) -> CapacityStatus | None:
    """Return what the published capacities say, None where there are none (HSDS 3.1)."""
    places = [number(node, "available") for node in children(document, "capacities")]
    counted = [place for place in places if place is not None]
    if not counted:
        return None
    return CapacityStatus.CAPACITY if any(counted) else CapacityStatus.NO_CAPACITY


def spoken(nodes: Iterable[Node]) -> set[str]:
    """Return the lower-case codes and names of languages: what the filter looks for."""
    words = [text(node, key) for node in nodes for key in ("code", "name")]
    return {word.lower() for word in words if word}


def places(areas: Iterable[Node], addresses: Iterable[Node]) -> set[str]:
    """Return the lower-case names of areas served and of the towns of the locations."""
    area_keys = ("name", "description")
    address_keys = ("city", "region", "state_province", "postal_code")
    words = [text(node, key) for node in areas for key in area_keys]
    words += [text(node, key) for node in addresses for key in address_keys]
    return {word.lower() for word in words if word}
