"""Conditions as data: the closed algebra in YAML or JSON, and nothing beside it.

    {all: [{under: TREAT}, {one_of: [grant.basis, [consent, care-team]]}]}

A condition is one operator with its operands. References are `side.field` of the table below, each
of a type that the operator demands. What the algebra has no word for is refused with its place.
"""

from typing import Any, get_args

from sharing import purposes
from sharing.algebra import (
    AllOf,
    AnyOf,
    AtMost,
    Covers,
    Differ,
    Equal,
    Holds,
    InForce,
    Missing,
    OneOf,
    Predicate,
    Ref,
    Under,
)
from sharing.model import Basis

# what a condition may look at: the grant at hand, its agreement, the row and the reader
TYPES: dict[str, dict[str, str]] = {
    "reader": {"organisation_id": "id", "kind": "kind", "purpose": "purpose"},
    "row": {
        **dict.fromkeys(("custodian_id", "person_id", "case_id", "referral_id"), "id"),
        "about_person": "flag",
        "confidentiality": "rank",
    },
    "grant": {
        **dict.fromkeys(("custodian_id", "recipient_id", "person_id", "case_id"), "id"),
        **dict.fromkeys(("agreement_id", "basis_id"), "id"),
        "basis": "basis",
        "purposes": "purposes",
        "valid_from": "instant",
        "valid_to": "instant",
    },
    "agreement": {
        **dict.fromkeys(("id", "custodian_id", "recipient_id"), "id"),
        "recipient_kind": "kind",
        "confidentiality": "rank",
        "purposes": "purposes",
        "valid_from": "instant",
        "valid_to": "instant",
    },
}
KINDS = ("clinic", "social-service", "payer", "coordinator")
_WORDS: dict[str, tuple[str, ...]] = {"basis": get_args(Basis), "kind": KINDS}
_TEXT = ("id", "kind", "basis")
_OPERATORS = (
    *("equal", "differ", "at_most", "missing", "holds", "one_of"),
    *("covers", "under", "in_force", "all", "any"),
)
_DEEPEST = 8


class OutsideAlgebra(ValueError):
    """The condition says what the algebra cannot."""


def read(written: Any, place: str = "", depth: int = 0) -> Predicate:
    """Return the condition. Raises OutsideAlgebra, which names the place."""
    if not isinstance(written, dict) or len(written) != 1:
        raise OutsideAlgebra(f"{place or 'condition'}: expected one operator with its operands")
    ((operator, operands),) = written.items()
    here = f"{place}.{operator}" if place else str(operator)
    if operator not in _OPERATORS:
        known = ", ".join(_OPERATORS)
        raise OutsideAlgebra(f"{here}: no predicate of the algebra; they are: {known}")
    if depth > _DEEPEST:
        raise OutsideAlgebra(f"{here}: nested deeper than {_DEEPEST}")
    return _read(str(operator), operands, here, depth)


def _read(operator: str, operands: Any, here: str, depth: int) -> Predicate:  # noqa: PLR0911
    match operator:
        case "all" | "any":
            listed = _many(operands, here)
            terms = tuple(
                read(one, f"{here}.{number}", depth + 1) for number, one in enumerate(listed)
            )
            return AllOf(terms) if operator == "all" else AnyOf(terms)
        case "missing":
            return Missing(_ref(operands, here, (*_TEXT, "instant")))
        case "holds":
            return Holds(_ref(operands, here, ("flag",)))
        case "covers":
            return Covers(_ref(operands, here, ("purposes",)))
        case "under":
            return Under(_purpose(operands, here))
        case "one_of":
            return _one_of(operands, here)
        case _:
            return _pair(operator, operands, here)


def _pair(operator: str, operands: Any, here: str) -> Predicate:
    """Two references of one type."""
    if not isinstance(operands, list) or len(operands) != 2:  # noqa: PLR2004 - a pair
        raise OutsideAlgebra(f"{here}: expected two references")
    types = {"at_most": ("rank",), "in_force": ("instant",)}.get(operator, _TEXT)
    left, right = (_ref(one, f"{here}.{number}", types) for number, one in enumerate(operands))
    kinds = {TYPES[ref.side][ref.field] for ref in (left, right)}
    if len(kinds) > 1:
        raise OutsideAlgebra(f"{here}: {' and '.join(sorted(kinds))} cannot be compared")
    if operator == "in_force":
        if left.side != right.side or (left.field, right.field) != ("valid_from", "valid_to"):
            raise OutsideAlgebra(f"{here}: expected valid_from and valid_to of one record")
        return InForce(left, right)
    if operator == "at_most":
        return AtMost(left, right)
    return Equal(left, right) if operator == "equal" else Differ(left, right)


def _one_of(operands: Any, here: str) -> OneOf:
    if not isinstance(operands, list) or len(operands) != 2:  # noqa: PLR2004 - a pair
        raise OutsideAlgebra(f"{here}: expected a reference and a list of words")
    ref = _ref(operands[0], f"{here}.0", tuple(_WORDS))
    words = _WORDS[TYPES[ref.side][ref.field]]
    for number, word in enumerate(_many(operands[1], f"{here}.1")):
        if word not in words:
            raise OutsideAlgebra(f"{here}.1.{number}: {word!r} is none of {', '.join(words)}")
    return OneOf(ref, tuple(operands[1]))


def _ref(written: Any, place: str, types: tuple[str, ...]) -> Ref:
    side, _, field = written.partition(".") if isinstance(written, str) else ("", "", "")
    if field not in TYPES.get(side, {}):
        raise OutsideAlgebra(f"{place}: {written!r} is no field of {', '.join(TYPES)}")
    if TYPES[side][field] not in types:
        raise OutsideAlgebra(
            f"{place}: {written} is of type {TYPES[side][field]}, expected {' or '.join(types)}"
        )
    return Ref(side, field)  # type: ignore[arg-type]


def _purpose(code: Any, here: str) -> str:
    if code not in purposes.CODES:
        raise OutsideAlgebra(f"{here}: {code!r} is no purpose")
    return str(code)


def _many(written: Any, here: str) -> list[Any]:
    if not isinstance(written, list) or not written:
        raise OutsideAlgebra(f"{here}: expected a list that is not empty")
    return written
