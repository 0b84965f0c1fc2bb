"""Identifiers: a three-letter prefix that names the kind, then a UUIDv7 in Crockford base32.

They sort by creation time as plain text, so a keyset page needs no second column.
"""

import hashlib
import re

import uuid_utils

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 26  # 130 bits hold the 128 of a UUID
# two digits at once: ids are made for every row
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_SHAPE = re.compile(rf"[a-z]{{3}}_[{_ALPHABET}]{{{_LENGTH}}}")

PATTERN = rf"^[a-z]{{3}}_[{_ALPHABET}]{{{_LENGTH}}}$"


def new_id(prefix: str) -> str:
    """Return a fresh time-ordered id such as `cas_01jd…`."""
    return _written(prefix, uuid_utils.uuid7().int)


def stands_for(prefix: str, *words: str) -> str:
    """Return the one id that stands for these words: it names them to nobody who does not know them."""
    digest = hashlib.sha256("\n".join(words).encode()).digest()
    return _written(prefix, int.from_bytes(digest[:16]))


def _written(prefix: str, number: int) -> str:
    return f"{prefix}_{digits(number, _LENGTH)}"


def digits(number: int, length: int) -> str:
    """Return the number in so many digits, an even count; texts of it sort as the numbers do."""
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(5 * (length - 2), -1, -10)])


def number(digits: str) -> int:
    """Return what the digits are of. Raises ValueError for what is none."""
    found = 0
    for digit in digits:
        found = found * 32 + _ALPHABET.index(digit)
    return found


def is_id(value: str, prefix: str) -> bool:
    """Tell whether the value has the shape of an id of that kind."""
    return value.startswith(f"{prefix}_") and _SHAPE.fullmatch(value) is not None
