"""A need is open until it is met: a referral that closed without help leaves it open.

Categories: Gravity SDOH Clinical Care IG 3.0.0, SDOHCC-ValueSetSDOHCategory.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from case_svc.domain.cases import InvalidTransition


class NeedCategory(StrEnum):
    UNSPECIFIED = "sdoh-category-unspecified"
    FOOD_INSECURITY = "food-insecurity"
    HOUSING_INSTABILITY = "housing-instability"
    HOMELESSNESS = "homelessness"
    INADEQUATE_HOUSING = "inadequate-housing"
    TRANSPORTATION_INSECURITY = "transportation-insecurity"
    FINANCIAL_INSECURITY = "financial-insecurity"
    MATERIAL_HARDSHIP = "material-hardship"
    EDUCATIONAL_ATTAINMENT = "educational-attainment"
    EMPLOYMENT_STATUS = "employment-status"
    VETERAN_STATUS = "veteran-status"
    STRESS = "stress"
    SOCIAL_CONNECTION = "social-connection"
    INTIMATE_PARTNER_VIOLENCE = "intimate-partner-violence"
    ELDER_ABUSE = "elder-abuse"
    PERSONAL_HEALTH_LITERACY = "personal-health-literacy"
    HEALTH_INSURANCE_COVERAGE_STATUS = "health-insurance-coverage-status"
    MEDICAL_COST_BURDEN = "medical-cost-burden"
    DIGITAL_LITERACY = "digital-literacy"
    DIGITAL_ACCESS = "digital-access"
    UTILITY_INSECURITY = "utility-insecurity"
    INCARCERATION_STATUS = "incarceration-status"
    LANGUAGE_ACCESS = "language-access"
    PROTECTIVE_FACTOR = "protective-factor"


class NeedStatus(StrEnum):
    OPEN = "open"
    IN_PROGRESS = "in-progress"
    MET = "met"
    WITHDRAWN = "withdrawn"


class NeedCommand(StrEnum):
    START = "start"
    MEET = "meet"
    REOPEN = "reopen"
    WITHDRAW = "withdraw"


_UNMET = frozenset({NeedStatus.OPEN, NeedStatus.IN_PROGRESS})

MOVES: Mapping[NeedCommand, tuple[frozenset[NeedStatus], NeedStatus]] = MappingProxyType(
    {
        NeedCommand.START: (frozenset({NeedStatus.OPEN}), NeedStatus.IN_PROGRESS),
        NeedCommand.MEET: (_UNMET, NeedStatus.MET),
        NeedCommand.REOPEN: (
            frozenset({NeedStatus.IN_PROGRESS, NeedStatus.MET, NeedStatus.WITHDRAWN}),
            NeedStatus.OPEN,
        ),
        NeedCommand.WITHDRAW: (_UNMET, NeedStatus.WITHDRAWN),
    }
)

_ENDED_WITHOUT_HELP = frozenset({"rejected", "cancelled", "failed", "voided"})
UNDER_WAY = frozenset({"accepted", "started", "held", "resumed"})


def move(status: NeedStatus, command: NeedCommand) -> NeedStatus:
    """Return the status after the command. Raises InvalidTransition."""
    sources, target = MOVES[command]
    if status not in sources:
        raise InvalidTransition(f"A need in status {status} has no command {command}.")
    return target


def after_referral(
    status: NeedStatus, happened: str, need_met: str | None, *, others_under_way: bool
) -> NeedStatus:
    """Return the need's status after a referral made for it was `happened`.

    `need_met` is what a completed referral says of it: yes, no, partly or nothing. Total: an event
    never fails here. A met or withdrawn need stays as it was set.
    """
    if status not in _UNMET:
        return status
    if happened == "completed" and need_met == "yes":
        return NeedStatus.MET
    if happened in UNDER_WAY:
        return NeedStatus.IN_PROGRESS
    ended = happened == "completed" or happened in _ENDED_WITHOUT_HELP
    if ended and not others_under_way:
        return NeedStatus.OPEN
    return status
