"""A replay of a part of the feed to one endpoint: its states, and when it goes on.

    running ──last number──▶ done
       ╰──owner, endpoint removed──▶ cancelled

One message at a time, so that they arrive in the feed's order: the next is queued once the one
before has ended. One that keeps failing holds up the others for some minutes only, and goes on by
its own schedule; while the endpoint is disabled everything waits.
"""

from enum import StrEnum

from svckit.errors import Conflict, Invalid

# attempts after which a message that fails no longer holds up the others: with the usual schedule
# six minutes
PATIENCE = 4


class Progress(StrEnum):
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


class RecoveryRunning(Conflict):
    code = "recovery-running"


class PeriodRefused(Invalid):
    code = "recovery-period-refused"
