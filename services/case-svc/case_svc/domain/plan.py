"""Goals and activities in the words of FHIR R4 Goal and CarePlan.activity.detail."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from case_svc.domain.cases import InvalidTransition


class GoalStatus(StrEnum):
    """FHIR R4 Goal.lifecycleStatus."""

    PROPOSED = "proposed"
    PLANNED = "planned"
    ACCEPTED = "accepted"
    ACTIVE = "active"
    ON_HOLD = "on-hold"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    ENTERED_IN_ERROR = "entered-in-error"


class Achievement(StrEnum):
    """CodeSystem goal-achievement."""

    IN_PROGRESS = "in-progress"
    IMPROVING = "improving"
    WORSENING = "worsening"
    NO_CHANGE = "no-change"
    ACHIEVED = "achieved"
    SUSTAINING = "sustaining"
    NOT_ACHIEVED = "not-achieved"
    NO_PROGRESS = "no-progress"
    NOT_ATTAINABLE = "not-attainable"


class ActivityStatus(StrEnum):
    """FHIR R4 CarePlan.activity.detail.status."""

    NOT_STARTED = "not-started"
    SCHEDULED = "scheduled"
    IN_PROGRESS = "in-progress"
    ON_HOLD = "on-hold"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    STOPPED = "stopped"
    UNKNOWN = "unknown"
    ENTERED_IN_ERROR = "entered-in-error"


_G = GoalStatus
_ENDS = frozenset({_G.COMPLETED, _G.CANCELLED, _G.ENTERED_IN_ERROR})

GOAL_MOVES: Mapping[GoalStatus, frozenset[GoalStatus]] = MappingProxyType(
    {
        _G.PROPOSED: _ENDS - {_G.COMPLETED} | {_G.PLANNED, _G.ACCEPTED, _G.ACTIVE, _G.REJECTED},
        _G.PLANNED: _ENDS - {_G.COMPLETED} | {_G.ACCEPTED, _G.ACTIVE, _G.REJECTED},
        _G.ACCEPTED: _ENDS | {_G.ACTIVE, _G.ON_HOLD},
        _G.ACTIVE: _ENDS | {_G.ON_HOLD},
        _G.ON_HOLD: _ENDS | {_G.ACTIVE},
        _G.COMPLETED: frozenset({_G.ACTIVE, _G.ENTERED_IN_ERROR}),
        _G.CANCELLED: frozenset({_G.ENTERED_IN_ERROR}),
        _G.REJECTED: frozenset({_G.ENTERED_IN_ERROR}),
        _G.ENTERED_IN_ERROR: frozenset(),
    }
)

_A = ActivityStatus
_LATER = frozenset(set(_A))
_ENDED = frozenset({_A.COMPLETED, _A.CANCELLED, _A.STOPPED})

ACTIVITY_MOVES: Mapping[ActivityStatus, frozenset[ActivityStatus]] = MappingProxyType(
    {
        _A.NOT_STARTED: _LATER - {_A.NOT_STARTED, _A.STOPPED},
        _A.SCHEDULED: _LATER - {_A.SCHEDULED},
        _A.IN_PROGRESS: _LATER - {_A.IN_PROGRESS, _A.NOT_STARTED, _A.SCHEDULED},
        _A.ON_HOLD: _LATER - {_A.ON_HOLD, _A.NOT_STARTED},
        _A.UNKNOWN: _LATER - {_A.UNKNOWN},
        **dict.fromkeys(_ENDED, frozenset({_A.ENTERED_IN_ERROR})),
        _A.ENTERED_IN_ERROR: frozenset(),
    }
)

# Only these begin a goal; the other states are reached.
GOAL_STARTS = frozenset({_G.PROPOSED, _G.PLANNED, _G.ACCEPTED, _G.ACTIVE})


def move_goal(status: GoalStatus, to: GoalStatus) -> GoalStatus:
    """Return the goal's next status; the same status is no move. Raises InvalidTransition."""
    if to is not status and to not in GOAL_MOVES[status]:
        raise InvalidTransition(f"A goal in status {status} cannot become {to}.")
    return to


def move_activity(status: ActivityStatus, to: ActivityStatus) -> ActivityStatus:
    """Return the activity's next status. Raises InvalidTransition."""
    if to is not status and to not in ACTIVITY_MOVES[status]:
        raise InvalidTransition(f"An activity in status {status} cannot become {to}.")
    return to


def achievement_after(current: Achievement | None, *, met: bool) -> Achievement | None:
    """Return a goal's achievement after the referral for its need was completed.

    Help given achieves it; help that missed leaves a goal already achieved as it is.
    """
    if met:
        return Achievement.ACHIEVED
    return current if current is Achievement.ACHIEVED else Achievement.NOT_ACHIEVED
