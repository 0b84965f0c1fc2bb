"""The tables of the case file. Every row in a case names its author and the classes it needs."""

from case_svc.models.base import Base
from case_svc.models.cases import CaseFile, CaseNumber, CasePhase, CaseReader, CaseType
from case_svc.models.history import PastRow
from case_svc.models.people import ExternalNumber, Party, TeamMember
from case_svc.models.persons import ClientRecord, Person, PersonReader
from case_svc.models.plan import Activity, Assessment, Goal, Need, ReferralState
from case_svc.models.work import Decision, Note, Task, TaskReader, TimelineEntry

__all__ = [
    "Activity",
    "Assessment",
    "Base",
    "CaseFile",
    "CaseNumber",
    "CasePhase",
    "CaseReader",
    "CaseType",
    "ClientRecord",
    "Decision",
    "ExternalNumber",
    "Goal",
    "Need",
    "Note",
    "Party",
    "PastRow",
    "Person",
    "PersonReader",
    "ReferralState",
    "Task",
    "TaskReader",
    "TeamMember",
    "TimelineEntry",
]
