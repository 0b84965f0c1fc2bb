"""A consent as directives: flat, ordered by depth, each a permit or a deny of its own reach."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sharing import purposes
from sharing.classes import NAMES, DataClass, mask_of
from sharing.confidentiality import HIGHEST, code_of, rank
from svckit.clock import wire


@dataclass(frozen=True)
class Directive:
    """What is said of whoever it reaches; the deepest that reaches decides, at equal depth the deny.

    `recipient_id` None reaches whoever asks, `confidentiality` is the highest rank of a row that it
    reaches, `valid_from` None holds since the consent was decided, `case_id` None is every case.
    """

    decision: Literal["permit", "deny"]
    depth: int
    recipient_id: str | None
    purposes: tuple[str, ...]
    classes: tuple[str, ...]
    confidentiality: int = HIGHEST
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    case_id: str | None = None

    def reaches(
        self,
        recipient_id: str,
        purpose: str,
        confidentiality: int,
        at: datetime,
        case_id: str | None = None,
    ) -> bool:
        return (
            self.recipient_id in (None, recipient_id)
            and self.case_id in (None, case_id)
            and purposes.covers(purposes.mask_of(self.purposes), purpose)
            and confidentiality <= self.confidentiality
            and (self.valid_from is None or self.valid_from <= at)
            and (self.valid_to is None or at < self.valid_to)
        )

    def stored(self, decided_at: datetime) -> dict[str, Any]:
        """Return the directive as JSON values, as events and answers carry it."""
        return {
            "decision": self.decision,
            "depth": self.depth,
            "recipient_id": self.recipient_id,
            "purposes": list(self.purposes),
            "classes": list(self.classes),
            "confidentiality": code_of(self.confidentiality),
            **({"case_id": self.case_id} if self.case_id else {}),
            "valid_from": wire(self.valid_from or decided_at),
            "valid_to": self.valid_to and wire(self.valid_to),
        }


def restored(stored: dict[str, Any]) -> Directive:
    """Return the directive of its JSON values."""
    ends = stored["valid_to"]
    return Directive(
        decision=stored["decision"],
        depth=stored["depth"],
        recipient_id=stored["recipient_id"],
        purposes=tuple(stored["purposes"]),
        classes=tuple(stored["classes"]),
        confidentiality=rank(stored["confidentiality"]),
        valid_from=datetime.fromisoformat(stored["valid_from"]),
        valid_to=datetime.fromisoformat(ends) if ends else None,
        case_id=stored.get("case_id"),
    )


def single(  # noqa: PLR0917 - one parameter a column
    decision: str,
    recipient_id: str | None,
    purpose_codes: Iterable[str],
    classes: Iterable[str],
    valid_from: datetime | None,
    valid_to: datetime | None,
) -> Directive:
    """Return a consent that says one thing; a deny that names no purpose or class is of all."""
    everything = decision == "deny"
    named, meant = tuple(purpose_codes), tuple(classes)
    every = tuple(code for code in purposes.CODES if len(purposes.lineage(code)) == 1)
    return Directive(
        decision="deny" if everything else "permit",
        depth=0,
        recipient_id=recipient_id,
        purposes=named or (every if everything else ()),
        classes=meant or (tuple(NAMES) if everything else ()),
        valid_from=valid_from,
        valid_to=valid_to,
    )


def said(  # noqa: PLR0917 - what a decision looks at
    directives: Iterable[Directive],
    recipient_id: str,
    purpose: str,
    confidentiality: int,
    at: datetime,
    case_id: str | None = None,
) -> tuple[DataClass, DataClass]:
    """Return the classes that one consent permits and denies: pure, for tests and previews."""
    permitted = denied = DataClass.ENVELOPE
    for one in sorted(directives, key=lambda each: (each.depth, each.decision == "deny")):
        if one.reaches(recipient_id, purpose, confidentiality, at, case_id):
            mask = mask_of(one.classes)
            if one.decision == "permit":
                permitted, denied = permitted | mask, denied & ~mask
            else:
                permitted, denied = permitted & ~mask, denied | mask
    return permitted, denied
