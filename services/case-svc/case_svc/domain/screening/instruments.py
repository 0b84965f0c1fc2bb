"""The instruments as data: AHC-HRSN (LOINC 96777-8), PRAPARE (93025-5), Hunger Vital Sign (88121-9).

Positive answers: CMS AHC-HRSN scoring; PRAPARE thresholds for social contact and stress are this
rule set's own, because NACHC leaves them to the user organisation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from sharing.labels import Label

from case_svc.domain.needs import NeedCategory as N

RULES_VERSION = "1"


@dataclass(frozen=True)
class Question:
    """`answers`: answer code to the category it finds (None: no need).

    `multi`: several answers may be given; `alone`: answers that stand alone; `recorded`: other
    codes are kept without a rule.
    """

    answers: Mapping[str, N | None] = field(default_factory=dict)
    label: Label | None = None
    multi: bool = False
    alone: frozenset[str] = frozenset()
    recorded: bool = False


@dataclass(frozen=True)
class Sum:
    """A finding from the points of several questions: `total >= threshold` finds the code.

    `need` None: the finding calls for further assessment and is no coded need.
    """

    code: str
    need: N | None
    label: Label
    questions: tuple[str, ...]
    points: Mapping[str, int]
    threshold: int


@dataclass(frozen=True)
class Instrument:
    code: str
    panel: str
    questions: Mapping[str, Question]
    sums: tuple[Sum, ...] = ()


def _yes(need: N | None, *, yes: str = "LA33-6", no: str = "LA32-8") -> dict[str, N | None]:
    return {yes: need, no: None}


_HITS = {"LA6270-8": 1, "LA10066-1": 2, "LA10082-8": 3, "LA16644-9": 4, "LA6482-9": 5}
_PHQ2 = {"LA6568-5": 0, "LA6569-3": 1, "LA6570-1": 2, "LA6571-9": 3}
_USE = dict.fromkeys(["LA6270-8", "LA26460-8", "LA18876-5", "LA18891-4", "LA18934-2"], None)
_USE_POINTS = {code: int(code != "LA6270-8") for code in _USE}

HITS_QUESTIONS = ("95618-5", "95617-7", "95616-9", "95615-1")
PHQ2_QUESTIONS = ("44250-9", "44255-8")
USE_QUESTIONS = ("68517-2", "96842-0", "95530-2", "68524-8")

_FOOD = {
    "LA28397-0": N.FOOD_INSECURITY,
    "LA6729-3": N.FOOD_INSECURITY,
    "LA28398-8": None,
}
_STRESS = {
    "LA6568-5": None,
    "LA13863-8": None,
    "LA13909-9": None,
    "LA13902-4": N.STRESS,
    "LA13914-9": N.STRESS,
}
_DECLINED = "LA30122-8"

AHC = Instrument(
    code="ahc-hrsn",
    panel="96777-8",
    questions={
        "71802-3": Question(
            {
                "LA31993-1": None,
                "LA31994-9": N.HOUSING_INSTABILITY,
                "LA31995-6": N.HOMELESSNESS,
            }
        ),
        "96778-6": Question(
            dict.fromkeys(
                [
                    "LA31996-4",
                    "LA28580-1",
                    "LA31997-2",
                    "LA31998-0",
                    "LA31999-8",
                    "LA32000-4",
                    "LA32001-2",
                ],
                N.INADEQUATE_HOUSING,
            )
            | {"LA9-3": None},
            multi=True,
            alone=frozenset({"LA9-3"}),
        ),
        "88122-7": Question(_FOOD),
        "88123-5": Question(_FOOD),
        "93030-5": Question(_yes(N.TRANSPORTATION_INSECURITY)),
        "96779-4": Question(_yes(N.UTILITY_INSECURITY) | {"LA32002-0": N.UTILITY_INSECURITY}),
        **{code: Question(dict.fromkeys(_HITS, None), Label.SDV) for code in HITS_QUESTIONS},
        "76513-1": Question(
            {
                "LA15832-1": N.FINANCIAL_INSECURITY,
                "LA22683-9": N.FINANCIAL_INSECURITY,
                "LA31980-8": None,
            }
        ),
        "96780-2": Question(
            {
                "LA31981-6": N.EMPLOYMENT_STATUS,
                "LA31982-4": N.EMPLOYMENT_STATUS,
                "LA31983-2": None,
            }
        ),
        "96782-8": Question(_yes(N.EDUCATIONAL_ATTAINMENT)),
        "97027-7": Question(_yes(None)),
        "93038-8": Question(_STRESS),
        **{code: Question(dict.fromkeys(_PHQ2, None), Label.MH) for code in PHQ2_QUESTIONS},
        **{code: Question(_USE, Label.SUD) for code in USE_QUESTIONS},
    },
    sums=(
        # HITS: 4 to 20 points, more than 10 is positive
        Sum(
            "intimate-partner-violence",
            N.INTIMATE_PARTNER_VIOLENCE,
            Label.SDV,
            HITS_QUESTIONS,
            _HITS,
            11,
        ),
        Sum("depression-screen", None, Label.MH, PHQ2_QUESTIONS, _PHQ2, 3),
        Sum("substance-use-screen", None, Label.SUD, USE_QUESTIONS, _USE_POINTS, 1),
    ),
)

PRAPARE = Instrument(
    code="prapare",
    panel="93025-5",
    questions={
        "71802-3": Question({"LA30189-7": None, "LA30190-5": N.HOMELESSNESS, _DECLINED: None}),
        "93033-9": Question(_yes(N.HOUSING_INSTABILITY) | {_DECLINED: None}),
        "93031-3": Question(
            {
                "LA30125-1": N.FOOD_INSECURITY,
                "LA30126-9": N.MATERIAL_HARDSHIP,
                "LA30124-4": N.UTILITY_INSECURITY,
                "LA30127-7": N.MATERIAL_HARDSHIP,
                "LA30128-5": N.MEDICAL_COST_BURDEN,
                "LA30129-3": N.DIGITAL_ACCESS,
                "LA46-8": None,
                _DECLINED: None,
            },
            multi=True,
            alone=frozenset({_DECLINED}),
        ),
        "93030-5": Question(
            {
                "LA30133-5": N.TRANSPORTATION_INSECURITY,
                "LA30134-3": N.TRANSPORTATION_INSECURITY,
                "LA32-8": None,
                "LA30257-2": None,
            },
            multi=True,
            alone=frozenset({"LA32-8", "LA30257-2"}),
        ),
        "93029-7": Question(
            {
                "LA27722-0": N.SOCIAL_CONNECTION,
                "LA30130-1": N.SOCIAL_CONNECTION,
                "LA30131-9": None,
                "LA30132-7": None,
                _DECLINED: None,
            }
        ),
        "93038-8": Question(_STRESS | {_DECLINED: None}),
        # the answer says "not safe", not by whom: the category stays open, the label protects it
        "93026-3": Question(
            {
                "LA33-6": None,
                "LA32-8": N.UNSPECIFIED,
                "LA14072-5": N.UNSPECIFIED,
                _DECLINED: None,
            },
            Label.SDV,
        ),
        "76501-6": Question(_yes(N.INTIMATE_PARTNER_VIOLENCE) | {_DECLINED: None}, Label.SDV),
        "67875-5": Question(
            {
                "LA17956-6": N.EMPLOYMENT_STATUS,
                "LA30138-4": None,
                "LA30136-8": None,
                "LA30137-6": None,
                _DECLINED: None,
            }
        ),
        "76437-3": Question({"LA30194-7": N.HEALTH_INSURANCE_COVERAGE_STATUS}, recorded=True),
        "82589-3": Question(
            {
                "LA30191-3": N.EDUCATIONAL_ATTAINMENT,
                "LA30192-1": None,
                "LA30193-9": None,
                _DECLINED: None,
            }
        ),
        "93028-9": Question(_yes(N.INCARCERATION_STATUS) | {_DECLINED: None}),
        **{
            code: Question(recorded=True, multi=code == "32624-9")
            for code in (
                "56051-6",
                "32624-9",
                "93035-4",
                "93034-7",
                "54899-0",
                "63512-8",
                "63586-2",
                "93027-1",
            )
        },
    },
)

_HVS_ANSWERS = _FOOD | {"LA15775-2": None}
HUNGER_VITAL_SIGN = Instrument(
    code="hunger-vital-sign",
    panel="88121-9",
    questions={
        "88122-7": Question(_HVS_ANSWERS),
        "88123-5": Question(_HVS_ANSWERS),
        "88124-3": Question({"LA19952-3": N.FOOD_INSECURITY, "LA19983-8": None}),
    },
)

INSTRUMENTS: Mapping[str, Instrument] = MappingProxyType(
    {each.code: each for each in (AHC, PRAPARE, HUNGER_VITAL_SIGN)}
)
