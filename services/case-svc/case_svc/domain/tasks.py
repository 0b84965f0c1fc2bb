"""Tasks: ready → in-progress ⇄ on-hold (waiting on somebody) → completed or cancelled."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from case_svc.domain.cases import InvalidTransition


class TaskStatus(StrEnum):
    """The subset of FHIR R4 task-status that ad hoc work needs."""

    READY = "ready"
    IN_PROGRESS = "in-progress"
    ON_HOLD = "on-hold"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class TaskCommand(StrEnum):
    ASSIGN = "assign"
    CLAIM = "claim"
    WAIT = "wait"
    RESUME = "resume"
    COMPLETE = "complete"
    CANCEL = "cancel"


_S = TaskStatus
OPEN = frozenset({_S.READY, _S.IN_PROGRESS, _S.ON_HOLD})

MOVES: Mapping[tuple[TaskStatus, TaskCommand], TaskStatus] = MappingProxyType(
    {
        (_S.READY, TaskCommand.ASSIGN): _S.READY,
        (_S.IN_PROGRESS, TaskCommand.ASSIGN): _S.IN_PROGRESS,
        (_S.ON_HOLD, TaskCommand.ASSIGN): _S.ON_HOLD,
        (_S.READY, TaskCommand.CLAIM): _S.IN_PROGRESS,
        (_S.READY, TaskCommand.WAIT): _S.ON_HOLD,
        (_S.IN_PROGRESS, TaskCommand.WAIT): _S.ON_HOLD,
        (_S.ON_HOLD, TaskCommand.RESUME): _S.IN_PROGRESS,
        **{(status, TaskCommand.COMPLETE): _S.COMPLETED for status in OPEN},
        **{(status, TaskCommand.CANCEL): _S.CANCELLED for status in OPEN},
    }
)


def move(status: TaskStatus, command: TaskCommand) -> TaskStatus:
    """Return the status after the command. Raises InvalidTransition."""
    target = MOVES.get((status, command))
    if target is None:
        raise InvalidTransition(f"A task in status {status} has no command {command}.")
    return target
