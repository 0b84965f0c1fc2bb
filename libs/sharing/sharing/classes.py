"""The data classes: what kind of thing a field of a response or an event says about a person.

Twelve bits, one meaning each. `ENVELOPE` is no class at all: ids, versions and links, which are
visible with the row itself and never make a row visible.
"""

from collections.abc import Iterable
from enum import IntFlag


class UnknownClass(ValueError):
    """A name that is none of the data classes: refused, never ignored."""


class DataClass(IntFlag):
    ENVELOPE = 0
    IDENTITY = 1
    CONTACT = 2
    COORDINATION = 4
    NEEDS = 8
    PLAN = 16
    CLINICAL = 32
    BEHAVIORAL = 64
    SUBSTANCE_USE = 128
    SAFETY = 256
    NOTES = 512
    FINANCIAL = 1024
    OUTCOME = 2048


ENVELOPE = DataClass.ENVELOPE
ALL = ~ENVELOPE
# 42 CFR Part 2: leaves its custodian only under a permit that names it
PART2 = DataClass.SUBSTANCE_USE
# 42 CFR 2.32(a)(2), Statement 2, word for word: goes with every disclosure of a Part 2 record
PART2_NOTICE = "42 CFR part 2 prohibits unauthorized use or disclosure of these records."

_BY_NAME = {flag.name.lower().replace("_", "-"): flag for flag in DataClass if flag.name}
_BITS = tuple((name, int(flag)) for name, flag in _BY_NAME.items())
NAMES = tuple(_BY_NAME)


def class_of(name: str) -> DataClass:
    """Return the class of that name. Raises UnknownClass."""
    try:
        return ENVELOPE if name == "envelope" else _BY_NAME[name]
    except KeyError:
        raise UnknownClass(f"{name!r} is no data class; they are: {', '.join(NAMES)}") from None


def mask_of(names: Iterable[str]) -> DataClass:
    """Return the union of the named classes. Raises UnknownClass."""
    mask = ENVELOPE
    for name in names:
        mask |= class_of(name)
    return mask


def names_of(mask: int) -> list[str]:
    """Return the names of the classes in the mask, in the order of their bits."""
    bits = int(mask)  # an operation on flags takes ten times as long as one on integers
    return [name for name, bit in _BITS if bit & bits]
