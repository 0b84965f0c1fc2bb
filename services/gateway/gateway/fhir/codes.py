"""The codes of a FHIR R4 Consent that Careloop can keep, and what each of them comes to.

A resource type or a sensitivity label reaches across several data classes, or only part of one. Where
the two do not coincide, a permit is rounded down and a deny up: nothing is ever opened by rounding.
"""

from sharing.classes import ALL, PART2, DataClass
from sharing.purposes import CODES, lineage

SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
ACTION = "http://terminology.hl7.org/CodeSystem/consentaction"
RESOURCE_TYPE = "http://hl7.org/fhir/resource-types"
URI = "urn:ietf:rfc:3986"
PROFILE = "http://hl7.org/fhir/StructureDefinition/"
# ours, for what FHIR has no code for
DATA_CLASS = "urn:careloop:data-class"
ORGANISATION = "urn:careloop:organisation"
PERSON = "urn:careloop:person"
CASE = "urn:careloop:case"
POLICY = "urn:careloop:policy:sharing"

STATUSES = ("draft", "proposed", "active", "rejected", "inactive", "entered-in-error")
# base stance by policyRule; EMRGONLY is a deny with one exception
STANCES = {
    "OPTIN": "permit",
    "OPTINR": "permit",
    "OPTOUT": "deny",
    "OPTOUTE": "deny",
    "EMRGONLY": "deny",
}
RECIPIENTS = frozenset({"PRCP", "IRCP"})
CUSTODIAN = "CST"
# a case with all that is under it; `instance` would be the case alone, without it
RELATED = frozenset({"related", "dependents"})
MEANINGS = RELATED | {"instance", "authoredby"}
READS = frozenset({"access", "disclose"})
ACTIONS = READS | {"use"}
WRITES = frozenset({"collect", "correct"})

# what a permit that names no class opens: Part 2 data must be named (42 CFR 2.31(a)(3))
UNNAMED = ALL & ~PART2

_C = DataClass
_HEALTH = _C.CLINICAL | _C.BEHAVIORAL | _C.SUBSTANCE_USE
# resource type -> the classes a permit of it opens, the classes a deny of it closes
_TYPES: dict[str, tuple[DataClass, DataClass]] = {
    **dict.fromkeys(
        ("Patient", "Person", "RelatedPerson"),
        (_C.IDENTITY | _C.CONTACT, _C.IDENTITY | _C.CONTACT | _C.SAFETY),
    ),
    **dict.fromkeys(("Task", "CareTeam", "EpisodeOfCare", "Appointment"), (_C.COORDINATION,) * 2),
    "ServiceRequest": (_C.COORDINATION | _C.NEEDS, _C.COORDINATION | _C.NEEDS),
    "Condition": (_C.NEEDS, _C.NEEDS | _HEALTH),
    **dict.fromkeys(("CarePlan", "Goal"), (_C.PLAN, _C.PLAN)),
    **dict.fromkeys(
        (
            *("Observation", "QuestionnaireResponse", "DiagnosticReport", "Procedure"),
            *("MedicationRequest", "MedicationStatement", "MedicationDispense"),
            *("MedicationAdministration", "Immunization", "AllergyIntolerance", "Encounter"),
        ),
        (_C.CLINICAL, _C.NEEDS | _HEALTH),
    ),
    **dict.fromkeys(("Communication", "ClinicalImpression"), (_C.NOTES, _C.NOTES | _HEALTH)),
    **dict.fromkeys(
        ("Coverage", "Claim", "ClaimResponse", "ExplanationOfBenefit", "Account", "Invoice"),
        (_C.FINANCIAL, _C.FINANCIAL),
    ),
}

# sensitivity label -> the class that every resource with it needs, and with the label above it
_LABELS: dict[str, tuple[DataClass, str | None]] = {
    "BH": (_C.BEHAVIORAL | _C.SUBSTANCE_USE, None),
    "MH": (_C.BEHAVIORAL, "BH"),
    "PSY": (_C.BEHAVIORAL, "MH"),
    "PSYTHPN": (_C.BEHAVIORAL, "MH"),
    "EMOTDIS": (_C.BEHAVIORAL, "MH"),
    "SUD": (_C.SUBSTANCE_USE, "BH"),
    "ETH": (_C.SUBSTANCE_USE, "SUD"),
    "ETHUD": (_C.SUBSTANCE_USE, "SUD"),
    "OPIOIDUD": (_C.SUBSTANCE_USE, "SUD"),
    "SDV": (_C.SAFETY, None),
    "VIO": (_C.SAFETY, None),
    "MST": (_C.SAFETY, None),
}
# the labels that reach all of their class
_WHOLE = ("BH", "MH", "SUD")
# two codes for the same data
_SAME = {"ETH": "SUD"}


def classes_of_type(code: str) -> tuple[DataClass, DataClass] | None:
    """Return what a permit and a deny of a resource type come to; None: it cannot be told."""
    return _TYPES.get(code)


def class_of_label(code: str) -> DataClass | None:
    """Return the class that a label stands for; None: Careloop cannot tell its data apart."""
    return _LABELS[code][0] if code in _LABELS else None


def labels_under(code: str) -> frozenset[str]:
    """Return a label with all that it covers."""
    found = {_SAME.get(code, code)}
    while True:
        more = {name for name, (_, above) in _LABELS.items() if above in found}
        if more <= found:
            return frozenset(found)
        found |= more


def purposes_under(code: str) -> frozenset[str]:
    """Return a purpose with all that it covers."""
    return frozenset(one for one in CODES if code in lineage(one))


def top_purposes(covered: frozenset[str]) -> list[str]:
    """Return the fewest purposes that cover the same, in the order of their bits."""
    return [code for code in CODES if code in covered and not set(lineage(code)[1:]) & covered]


def is_whole(labels: frozenset[str]) -> bool:
    """Tell whether labels reach all of every class they stand for, so that a permit opens no more."""
    reached = (labels_under(code) for code in _WHOLE)
    return labels == frozenset().union(*(each for each in reached if each <= labels))
