"""A written consent under 42 CFR Part 2: what 2.31(a) asks of it, as far as a record can show it."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from sharing.classes import PART2, mask_of
from sharing.purposes import CODES, lineage
from svckit.errors import FieldError, Invalid

# v3-ActCode
LEGAL_BASIS = "42CFRPart2"
# what a single consent for all future uses may be for: such a one needs no end and names no one
_TPO = frozenset({"TREAT", "HPAYMT", "HOPERAT"})
_EVERY = frozenset(code for code in CODES if len(lineage(code)) == 1)


class Said(Protocol):
    """One thing a consent says."""

    @property
    def decision(self) -> str: ...
    @property
    def recipient_id(self) -> str | None: ...
    @property
    def purposes(self) -> tuple[str, ...]: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def valid_to(self) -> object: ...


def check(directives: Iterable[Said], *, dated: bool, signed: bool) -> None:
    """Raise Invalid, naming every place, unless the consent has what 2.31(a) asks of it."""
    errors = [FieldError(*each) for each in lacking(directives, dated=dated, signed=signed)]
    if errors:
        raise Invalid("The consent is none under 42 CFR Part 2.", errors=errors)


def lacking(
    directives: Iterable[Said], *, dated: bool, signed: bool
) -> Iterator[tuple[str, str, str]]:
    """Yield place, code and what is missing of the elements of 2.31(a)."""
    if not signed:
        yield "#/signed_by", "part2-signature", "Say who signed (42 CFR 2.31)."
    if not dated:
        yield "#/decided_at", "part2-date", "Say when it was signed (42 CFR 2.31)."
    permits = [
        one for one in directives if one.decision == "permit" and mask_of(one.classes) & PART2
    ]
    if not permits:
        yield "#/classes", "part2-information", "Name substance-use (42 CFR 2.31)."
    for one in permits:
        yield from _of_permit(one)


def _of_permit(one: Said) -> Iterator[tuple[str, str, str]]:
    if set(one.purposes) >= _EVERY:
        yield "#/purposes", "part2-purpose", "Name the purpose (42 CFR 2.31)."
    if all(_TPO & set(lineage(code)) for code in one.purposes):
        return
    if one.recipient_id is None:
        detail = "Name the recipient, but for treatment, payment and operations (42 CFR 2.31)."
        yield "#/recipient_id", "part2-recipient", detail
    if one.valid_to is None:
        detail = "Name the end, but for treatment, payment and operations (42 CFR 2.31)."
        yield "#/valid_to", "part2-expiry", detail
