"""Purposes of use: the v3-ActReason tree, with one bit for each code.

A permit for a purpose covers what lies under it, never what lies above: TREAT covers COC, COC does
not cover TREAT. A stored mask holds the purposes as declared; `covering` gives the mask of those
that would cover the purpose asked for, so that one `&` decides.
Source: http://terminology.hl7.org/CodeSystem/v3-ActReason, PurposeOfUse.
"""

from collections.abc import Iterable
from functools import lru_cache

# child -> parent. The order is the order of the bits: append only, bits are stored.
_PARENTS: dict[str, str | None] = {
    "TREAT": None,
    "HPAYMT": None,
    "HOPERAT": None,
    "PATRQT": None,
    "PUBHLTH": None,
    "HRESCH": None,
    "HMARKT": None,
    "CLINTRL": "TREAT",
    "COC": "TREAT",
    "ETREAT": "TREAT",
    "BTG": "ETREAT",
    "ERTREAT": "ETREAT",
    "POPHLTH": "TREAT",
    "CLMATTCH": "HPAYMT",
    "COVAUTH": "HPAYMT",
    "COVERAGE": "HPAYMT",
    "ELIGDTRM": "COVERAGE",
    "ELIGVER": "COVERAGE",
    "ENROLLM": "COVERAGE",
    "MILDCRG": "COVERAGE",
    "REMITADV": "HPAYMT",
    "CAREMGT": "HOPERAT",
    "HQUALIMP": "HOPERAT",
    "PATADMIN": "HOPERAT",
    "MEMADMIN": "HOPERAT",
    "HOUTCOMS": "HOPERAT",
    "FAMRQT": "PATRQT",
    "PWATRNY": "PATRQT",
    "SUPNWK": "PATRQT",
    "DISASTER": "PUBHLTH",
    "THREAT": "PUBHLTH",
}
_BITS = {code: 1 << place for place, code in enumerate(_PARENTS)}

CODES = tuple(_PARENTS)
ALL = (1 << len(_PARENTS)) - 1


class UnknownPurpose(ValueError):
    """A code that is no purpose of use."""


def bit(code: str) -> int:
    """Return the bit of one purpose. Raises UnknownPurpose."""
    try:
        return _BITS[code]
    except KeyError:
        raise UnknownPurpose(f"{code!r} is no purpose; they are: {', '.join(CODES)}") from None


def mask_of(codes: Iterable[str]) -> int:
    """Return the mask of the purposes as declared. Raises UnknownPurpose."""
    mask = 0
    for code in codes:
        mask |= bit(code)
    return mask


def names_of(mask: int) -> list[str]:
    """Return the declared codes of a mask, in the order of their bits."""
    return [code for code, place in _BITS.items() if place & mask]


def lineage(code: str) -> list[str]:
    """Return the code and what it lies under, nearest first; nothing for an unknown code."""
    found: list[str] = []
    at: str | None = code if code in _PARENTS else None
    while at is not None:
        found.append(at)
        at = _PARENTS[at]
    return found


@lru_cache(maxsize=256)
def covering(code: str) -> int:
    """Return the mask of every purpose that covers this one; 0 for an unknown code: it fails shut."""
    return mask_of(lineage(code))


def covers(declared: int, code: str) -> bool:
    """Tell whether a declared mask covers the purpose asked for."""
    return bool(declared & covering(code))
