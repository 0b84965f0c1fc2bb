"""How a difference is answered: counted, sampled, and with the fields of the classes named."""

from collections.abc import Callable, Iterable
from typing import Any

from gateway.actions import exposure, fields
from gateway.actions.exposure import Difference, Exposure
from gateway.schemas.access import DiffOut


def diff_body(found: Difference) -> dict[str, Any]:
    return DiffOut(
        digest=found.digest,
        widens=found.widens,
        terms=found.terms,
        may=[change._asdict() for change in found.may],
        gains=shares(found.gained, fields.of_classes),
        loses=shares(found.lost, fields.of_classes),
    ).model_dump(mode="json")


def shares(
    found: Exposure, named: Callable[[Iterable[str]], dict[str, list[str]]]
) -> list[dict[str, Any]]:
    """Return the sums by recipient and purpose; `named` says which fields the classes come to."""
    return [{**share, "fields": named(share["classes"])} for share in exposure.summed(found)]
