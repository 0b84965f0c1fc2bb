"""What a worker's inbox tells, and of whom it must not ask anything.

    assigned        a task was given to the worker, or to the organisation
    due             the deadline is near
    overdue         the deadline has passed; takes the place of `due`
    waiting         somebody waits for the organisation: a referral to accept, a message to answer
    referral-news   the other side moved a referral

`about` says which deadline or question: a task, a referral's acceptance or start, an answer, a state.
A notice is withdrawn when what it tells of is over.
"""

from enum import StrEnum

from notify_svc.domain.kinds import DISABLED, WARNED

# an inbox that is nobody's in particular: what an organisation is told without a name
TEAM = "team"
# where an organisation is told of the state of its own webhooks
OPERATIONS = "operations"


class Kind(StrEnum):
    ASSIGNED = "assigned"
    DUE = "due"
    OVERDUE = "overdue"
    WAITING = "waiting"
    REFERRAL_NEWS = "referral-news"


class About(StrEnum):
    TASK = "task"
    ACCEPT = "accept"
    START = "start"
    ANSWER = "answer"
    STATE = "state"


OPEN_TASK = frozenset({"ready", "in-progress", "on-hold"})
# a referral in one of these has come to its end
ENDED_REFERRAL = frozenset({"rejected", "cancelled", "completed", "failed", "voided"})
# what is told of an organisation's own endpoints
OF_ENDPOINTS = (WARNED, DISABLED)
# an event by which a worker took the task: there is no need to tell the one who did
CLAIM = "claim"
