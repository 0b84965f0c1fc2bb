"""What a partner asks of its events: one language for the feed, the stream and webhooks."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from sharing.classes import NAMES, DataClass

from notify_svc.domain.kinds import patterns_of

# SDOHCC ValueSet SDOH Category, as need.identified and referral.requested print it
NEED_CATEGORIES = (
    "sdoh-category-unspecified",
    "food-insecurity",
    "housing-instability",
    "homelessness",
    "inadequate-housing",
    "transportation-insecurity",
    "financial-insecurity",
    "material-hardship",
    "educational-attainment",
    "employment-status",
    "veteran-status",
    "stress",
    "social-connection",
    "intimate-partner-violence",
    "elder-abuse",
    "personal-health-literacy",
    "health-insurance-coverage-status",
    "medical-cost-burden",
    "digital-literacy",
    "digital-access",
    "utility-insecurity",
    "incarceration-status",
    "language-access",
    "protective-factor",
)
# the class by which the status of a thing is shown; of a thing that is not here nobody filters by it
STATUS_CLASS: Mapping[str, str] = MappingProxyType(
    {
        "referral": "outcome",
        "case": "outcome",
        "need": "needs",
        "activity": "plan",
        "task": "coordination",
        "document": "envelope",
    }
)
_STATUSES: Mapping[str, str] = MappingProxyType(
    {
        "referral": "draft requested accepted rejected cancelled in-progress on-hold failed completed "
        "entered-in-error",
        "case": "intake active suspended closed",
        "need": "open in-progress met withdrawn",
        "activity": "not-started scheduled in-progress on-hold completed cancelled stopped unknown "
        "entered-in-error",
        "task": "ready in-progress on-hold completed cancelled",
        "document": "superseded entered-in-error",
    }
)
TRANSITIONS = tuple(sorted({one for each in _STATUSES.values() for one in each.split()}))
_NEEDS = int(DataClass.NEEDS)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Every list that is not empty narrows; of one list any value will do."""

    kinds: tuple[str, ...] = ()
    case_ids: tuple[str, ...] = ()
    referral_ids: tuple[str, ...] = ()
    need_categories: tuple[str, ...] = ()
    # statuses that a thing moved to, or began in
    transitions: tuple[str, ...] = ()


EVERYTHING = Wanted()


class Codes(NamedTuple):
    """What filters ask of an event beyond its ids; `transition_classes` show the transition."""

    need_category: str | None
    transition: str | None
    transition_classes: int


def codes_of(kind: str, change: Mapping[str, Any]) -> Codes:
    """Return the codes of an event. Codes alone are kept of it, nothing that a person wrote."""
    noun = kind.partition(".")[0]
    category = change.get("category") if noun == "need" else change.get("need_category")
    moved = "status" in change.get("fields", ("status",))
    shown_by = STATUS_CLASS.get(noun)
    if not moved or shown_by is None or not isinstance(change.get("status"), str):
        return Codes(category, None, 0)
    bit = 1 << NAMES.index(shown_by) if shown_by in NAMES else 0
    return Codes(category, change["status"], bit)


class _Asking(Protocol):
    @property
    def need_categories(self) -> Any: ...
    @property
    def transitions(self) -> Any: ...


def asked_classes(asking: _Asking, transition_classes: int) -> int:
    """Return the classes that a filter looks at: who does not see them is not told by it."""
    needs = _NEEDS if asking.need_categories else 0
    return needs | (transition_classes if asking.transitions else 0)


class _About(Protocol):
    @property
    def case_id(self) -> Any: ...
    @property
    def referral_id(self) -> Any: ...
    @property
    def need_category(self) -> Any: ...
    @property
    def transition(self) -> Any: ...


class _Narrowing(_Asking, Protocol):
    @property
    def kinds(self) -> Any: ...
    @property
    def case_ids(self) -> Any: ...
    @property
    def referral_ids(self) -> Any: ...


def is_wanted(by: _Narrowing, event_type: str, about: _About) -> bool:
    """Tell whether a filter lets an event through: `queries.feed` says the same in SQL."""
    if by.kinds and not any(pattern in by.kinds for pattern in patterns_of(event_type)):
        return False
    return (
        (not by.case_ids or about.case_id in by.case_ids)
        and (not by.referral_ids or about.referral_id in by.referral_ids)
        and (not by.need_categories or about.need_category in by.need_categories)
        and (not by.transitions or about.transition in by.transitions)
    )
