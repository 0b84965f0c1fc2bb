"""Screening: coded answers in, labelled answers and findings out.

The same LOINC question has different answers in different instruments, so every rule is keyed by
(instrument, question, answer). Codes only: the wording of the instruments is not ours to ship.
"""

from case_svc.domain.screening.instruments import INSTRUMENTS, Instrument
from case_svc.domain.screening.rules import (
    Answer,
    Change,
    Finding,
    Labelled,
    Screening,
    compare,
    screen,
)

__all__ = [
    "INSTRUMENTS",
    "Answer",
    "Change",
    "Finding",
    "Instrument",
    "Labelled",
    "Screening",
    "compare",
    "screen",
]
