"""Life of a case: intake → active ⇄ suspended → closed, reopened as a new cycle.

Phases are re-entered at will while the case is active; the cycle number is kept. A case of a
`standard` type walks its phases in order: back at will, ahead one at a time.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType

from sharing.confidentiality import Confidentiality
from svckit.errors import Conflict, FieldError, Invalid


class CaseStatus(StrEnum):
    INTAKE = "intake"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSED = "closed"


class Phase(StrEnum):
    ASSESSMENT = "assessment"
    PLANNING = "planning"
    LINKING = "linking"
    MONITORING = "monitoring"
    ADVOCACY = "advocacy"


class Mode(StrEnum):
    STANDARD = "standard"
    ADAPTIVE = "adaptive"


class TypeStatus(StrEnum):
    DRAFT = "draft"
    PUBLISHED = "published"
    RETIRED = "retired"


def high_water(*found: Confidentiality) -> Confidentiality:
    """Return the highest of them: a row is at least as confidential as the case it is in."""
    return max(found, key=list(Confidentiality).index)


class SealReason(StrEnum):
    """Why a case is closed to everybody but its custodian, or open again."""

    PERSON_REQUEST = "person-request"
    SAFETY = "safety"
    LEGAL = "legal"
    STAFF_MEMBER = "staff-member"
    INVESTIGATION = "investigation"
    GROUNDS_ENDED = "grounds-ended"
    ENTERED_IN_ERROR = "entered-in-error"


class Command(StrEnum):
    ACTIVATE = "activate"
    SUSPEND = "suspend"
    RESUME = "resume"
    CLOSE = "close"
    REOPEN = "reopen"


MOVES: Mapping[Command, tuple[frozenset[CaseStatus], CaseStatus]] = MappingProxyType(
    {
        Command.ACTIVATE: (frozenset({CaseStatus.INTAKE}), CaseStatus.ACTIVE),
        Command.SUSPEND: (frozenset({CaseStatus.ACTIVE}), CaseStatus.SUSPENDED),
        Command.RESUME: (frozenset({CaseStatus.SUSPENDED}), CaseStatus.ACTIVE),
        Command.CLOSE: (
            frozenset({CaseStatus.INTAKE, CaseStatus.ACTIVE, CaseStatus.SUSPENDED}),
            CaseStatus.CLOSED,
        ),
        Command.REOPEN: (frozenset({CaseStatus.CLOSED}), CaseStatus.ACTIVE),
    }
)

TYPE_MOVES: Mapping[str, tuple[frozenset[TypeStatus], TypeStatus]] = MappingProxyType(
    {
        "publish": (frozenset({TypeStatus.DRAFT}), TypeStatus.PUBLISHED),
        "retire": (frozenset({TypeStatus.DRAFT, TypeStatus.PUBLISHED}), TypeStatus.RETIRED),
    }
)


class InvalidTransition(Conflict):
    code = "invalid-transition"


class CaseClosed(Conflict):
    code = "case-closed"


class AlreadySealed(Conflict):
    code = "case-sealed"


class NotSealed(Conflict):
    code = "case-not-sealed"


class PhaseOutOfOrder(Conflict):
    code = "phase-out-of-order"


class UnknownOutcome(Invalid):
    code = "unknown-outcome"


def move(status: CaseStatus, command: Command) -> CaseStatus:
    """Return the status after the command. Raises InvalidTransition."""
    sources, target = MOVES[command]
    if status not in sources:
        raise InvalidTransition(f"A case in status {status} has no command {command}.")
    return target


def move_type(status: TypeStatus, command: str) -> TypeStatus:
    """Return a case type's status after `publish` or `retire`. Raises InvalidTransition."""
    sources, target = TYPE_MOVES[command]
    if status not in sources:
        raise InvalidTransition(f"A case type in status {status} has no command {command}.")
    return target


def next_cycle(cycle: int, command: Command) -> int:
    """Return the cycle after the command: only reopening begins a new one."""
    return cycle + 1 if command is Command.REOPEN else cycle


def require_open(status: CaseStatus) -> None:
    """Refuse new work in a closed case. Raises CaseClosed."""
    if status is CaseStatus.CLOSED:
        raise CaseClosed("The case is closed; reopen it first.")


def may_enter(
    status: CaseStatus, mode: Mode, phases: Sequence[str], current: Phase | None, to: Phase
) -> None:
    """Check a phase change. Raises InvalidTransition, PhaseOutOfOrder, or Invalid."""
    if status is not CaseStatus.ACTIVE:
        raise InvalidTransition(f"A case in status {status} has no phase to enter.")
    if to not in phases:
        raise Invalid(
            "The case type has no such phase.",
            code="unknown-phase",
            errors=[FieldError("#/phase", "unknown-phase", "Not a phase of this case type.")],
        )
    ahead = phases.index(to) - (phases.index(current) if current in phases else -1)
    if mode is Mode.STANDARD and ahead > 1:
        raise PhaseOutOfOrder("A standard case enters its phases in order.")


def check_outcome(outcome: str, known: Sequence[str]) -> None:
    """Refuse an outcome its case type does not name. Raises UnknownOutcome."""
    if outcome not in known:
        raise UnknownOutcome(
            "The case type has no such outcome.",
            errors=[
                FieldError("#/outcome_code", "unknown-outcome", "Not an outcome of this type.")
            ],
        )
