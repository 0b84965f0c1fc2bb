"""Confidentiality of a resource: the v3-Confidentiality codes as ranks, the highest protects most.

Source: http://terminology.hl7.org/CodeSystem/v3-Confidentiality. Ranks are stored: they never move.
"""

from enum import StrEnum


class Confidentiality(StrEnum):
    """HL7 v3-Confidentiality, low to high."""

    UNRESTRICTED = "U"
    LOW = "L"
    MODERATE = "M"
    NORMAL = "N"
    RESTRICTED = "R"
    VERY_RESTRICTED = "V"


CODES = tuple(code.value for code in Confidentiality)
NORMAL = CODES.index("N")
HIGHEST = len(CODES) - 1


class UnknownConfidentiality(ValueError):
    """A code that is no confidentiality."""


def rank(code: str) -> int:
    """Return the rank of a code. Raises UnknownConfidentiality."""
    if code not in CODES:
        raise UnknownConfidentiality(
            f"{code!r} is no confidentiality; they are: {', '.join(CODES)}"
        )
    return CODES.index(code)


def code_of(of_rank: int) -> str:
    """Return the code of a rank; a rank that has none is taken for the highest."""
    return CODES[of_rank] if 0 <= of_rank <= HIGHEST else CODES[-1]
