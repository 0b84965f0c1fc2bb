"""Security labels of what leaves as FHIR (DS4P): confidentiality, sensitivity, and why both."""

from collections.abc import Iterable, Sequence
from typing import Any

from sharing import confidentiality as ranks
from sharing.classes import PART2, mask_of

from gateway.fhir import codes
from gateway.fhir.directive import Directive

Label = dict[str, Any]
_BASIS = "http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-sec-label-basis"
# tell that something is withheld, and so never label what holds others (DS4P)
_REVEALING = frozenset({"MASK", "NODSCLCD"})


def of(
    directives: Sequence[Directive], legal_basis: str | None, given: Iterable[Label]
) -> list[Label]:
    """Return a consent's labels: one that speaks of substance use tells of it, and is restricted.

    Labels that it came with stay, but for a confidentiality lower than that.
    """
    sensitive = any(mask_of(one.classes) & PART2 and one.decision == "permit" for one in directives)
    own = [confidentiality(ranks.rank("R") if sensitive else ranks.NORMAL)]
    if sensitive:
        basis = {"url": _BASIS, "valueCoding": _act(legal_basis)} if legal_basis else None
        own += [_act("SUD") | ({"extension": [basis]} if basis else {}), _act("NORDSCLCD")]
    return highest([own, list(given)])


def highest(found: Iterable[Iterable[Label]]) -> list[Label]:
    """Return the high-water mark: one confidentiality, the highest, and every other label once."""
    rank = ranks.NORMAL
    others: dict[tuple[Any, str], Label] = {}
    for label in (label for labels in found for label in labels):
        system, code = label.get("system"), str(label.get("code"))
        if system == codes.CONFIDENTIALITY:
            # what is no code is taken for the most protected
            rank = max(rank, ranks.rank(code) if code in ranks.CODES else ranks.HIGHEST)
        elif code not in _REVEALING:
            others.setdefault((system, code), label)
    return [confidentiality(rank), *others.values()]


def confidentiality(rank: int) -> Label:
    return {"system": codes.CONFIDENTIALITY, "code": ranks.code_of(rank)}


def _act(code: str) -> Label:
    return {"system": codes.ACT_CODE, "code": code}
