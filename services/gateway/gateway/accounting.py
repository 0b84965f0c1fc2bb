"""Reports from entries of the ledger: figures and words. Pure; an entry is its body, parsed.

45 CFR 164.528 accounting of disclosures, the list of 42 CFR 2.24, and the person's own view.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sharing.purposes import lineage

Body = Mapping[str, Any]
ACCOUNTING_YEARS = 6
INTERMEDIARY_YEARS = 3
_PART2 = "substance-use"
_TPO = {"TREAT": "treatment", "HPAYMT": "payment", "HOPERAT": "health care operations"}

WHAT: Mapping[str, str] = MappingProxyType(
    {
        "identity": "who the person is",
        "contact": "how to reach the person",
        "coordination": "that help is being coordinated, and with whom",
        "needs": "what the person needs",
        "plan": "the plan of help",
        "clinical": "clinical information",
        "behavioral": "mental health information",
        "substance-use": "substance use treatment information",
        "safety": "safety information",
        "notes": "notes",
        "financial": "insurance and financial information",
        "outcome": "what came of the help",
    }
)
WHY: Mapping[str, str] = MappingProxyType(
    {
        "BTG": "an emergency",
        "ETREAT": "an emergency",
        "COC": "coordinating care",
        "TREAT": "treatment",
        "HPAYMT": "payment for care",
        "CAREMGT": "managing care",
        "HOPERAT": "running health care services",
        "PATRQT": "a request of the person",
        "PUBHLTH": "public health",
        "HRESCH": "research",
        "HMARKT": "marketing",
    }
)
# the same two, said to the person
_YOU = {
    "identity": "who you are",
    "contact": "how to reach you",
    "coordination": "that your help is being coordinated, and with whom",
    "needs": "what you need",
    "plan": "the plan of your help",
}
_BECAUSE = {
    "consent": "you had allowed it",
    "referral": "you were referred there for help",
    "care-team": "it is part of your care team",
    "treatment": "it treats you",
    "emergency": "there was an emergency",
    "legal": "the law asks for it",
}


def years_before(at: datetime, years: int) -> datetime:
    """Return the same day so many years earlier; 28 February for a leap day."""
    try:
        return at.replace(year=at.year - years)
    except ValueError:
        return at.replace(year=at.year - years, day=28)


def description(classes: Iterable[str]) -> str:
    """Say in a few words what was told: an entry without a class tells that there is something."""
    return "; ".join(WHAT[name] for name in WHAT if name in set(classes)) or "that a record exists"


def purpose_statement(code: str) -> str:
    """Say why, by the nearest purpose that has words."""
    return next((WHY[each] for each in lineage(code) if each in WHY), code)


def exemption(entry: Body) -> dict[str, str] | None:
    """Return why 45 CFR 164.528(a)(1) leaves the disclosure out of an accounting, None if not."""
    for code in lineage(entry["purpose"]):
        if code in _TPO:
            return {"code": "treatment-payment-operations", "rule": "45 CFR 164.528(a)(1)(i)"}
    grants = entry["grants"]
    if grants and all(grant["because"] == "consent" for grant in grants):
        return {"code": "authorization", "rule": "45 CFR 164.528(a)(1)(iv)"}
    return None


@dataclass
class _Series:
    """Disclosures to one recipient for one purpose: the first in full, the rest counted."""

    first: Body
    exemption: dict[str, str] | None
    number: int = 0
    last_at: str = ""
    classes: set[str] = field(default_factory=set)

    def add(self, entry: Body) -> None:
        self.number += 1
        self.last_at = entry["at"]
        self.classes |= set(entry["classes"])

    def told(self, names: Mapping[str, str], references: Mapping[str, str]) -> dict[str, Any]:
        first = self.first
        because = sorted({grant["because"] for grant in first["grants"]})
        ids = {grant.get("id", "") for grant in first["grants"]}
        written = sorted(references[each] for each in ids & references.keys())
        found: dict[str, Any] = {
            "recipient": recipient(first, names),
            "purpose": first["purpose"],
            "purpose_statement": purpose_statement(first["purpose"]),
            "first": {
                "entry": first["id"],
                "at": first["at"],
                "description": description(first["classes"]),
                "basis": because,
                # of the written request, where one is the reason: 164.528(b)(2)(iv)
                **({"references": written} if written else {}),
            },
            "number": self.number,
            "last_at": self.last_at,
            "description": description(self.classes),
        }
        return found | ({"exemption": self.exemption} if self.exemption else {})


def recipient(entry: Body, names: Mapping[str, str]) -> dict[str, str]:
    return {"id": entry["organisation"], "name": names.get(entry["organisation"], "")}


def accounting(
    entries: Iterable[Body],
    names: Mapping[str, str],
    references: Mapping[str, str] = MappingProxyType({}),
    *,
    since: datetime,
    until: datetime,
) -> dict[str, Any]:
    """Return the accounting over entries in the order of time (45 CFR 164.528(b)).

    What the rule leaves out is listed apart, each with the exemption. Repeated disclosures to one
    recipient for one purpose are one line (b)(3): the first in full, their number, the last date.
    """
    series: dict[tuple[str, str, str], _Series] = {}
    for entry in entries:
        if entry["outcome"] != "disclosed":
            continue
        why_not = exemption(entry)
        key = (entry["organisation"], entry["purpose"], why_not["code"] if why_not else "")
        series.setdefault(key, _Series(entry, why_not)).add(entry)
    return {
        "rule": "45 CFR 164.528",
        "since": since.isoformat(),
        "until": until.isoformat(),
        "disclosures": [
            each.told(names, references) for each in series.values() if not each.exemption
        ],
        "exempt": [each.told(names, references) for each in series.values() if each.exemption],
    }


def intermediary_list(
    entries: Iterable[Body], names: Mapping[str, str], *, since: datetime, until: datetime
) -> dict[str, Any]:
    """Return to whom Part 2 data went, when and what, by 42 CFR 2.24: under a general designation.

    `named` counts what went under a permit that names its recipient, which the rule does not ask for.
    """
    found: dict[str, dict[str, Any]] = {}
    named = 0
    for entry in entries:
        if entry["outcome"] != "disclosed" or _PART2 not in entry["classes"]:
            continue
        if not any(c["general"] and _PART2 in c["classes"] for c in entry["consents"]):
            named += 1
            continue
        to = recipient(entry, names)
        line = found.setdefault(to["id"], {"recipient": to, "disclosures": []})
        what = {"at": entry["at"], "description": description(entry["classes"])}
        line["disclosures"].append({**what, "entry": entry["id"]})
    return {
        "rule": "42 CFR 2.24",
        "since": since.isoformat(),
        "until": until.isoformat(),
        "recipients": list(found.values()),
        "named": named,
    }


def own_view(entries: Iterable[Body], names: Mapping[str, str]) -> dict[str, Any]:
    """Return what happened to the person's information as sentences, a line a day and recipient."""
    days: dict[tuple[str, str, str, str, str], list[Body]] = {}
    for entry in entries:
        day = entry["at"][:10]
        key = (day, entry["organisation"], entry["custodian"], entry["purpose"], entry["outcome"])
        days.setdefault(key, []).append(entry)
    lines = [
        {"date": key[0], "outcome": key[4], "text": _sentence(key, of, names), "times": len(of)}
        for key, of in days.items()
    ]
    return {"lines": lines}


def _sentence(key: tuple[str, str, str, str, str], of: list[Body], names: Mapping[str, str]) -> str:
    day, reader, custodian, purpose, outcome = key
    on = datetime.fromisoformat(day)
    who, whose = names.get(reader, reader), names.get(custodian, custodian)
    when = f"On {on.day} {on:%B %Y} {who}"
    if outcome == "denied":
        return f"{when} asked for information that {whose} keeps about you. Nothing was told."
    told = {name for entry in of for name in entry["classes"]}
    what = "; ".join(_YOU.get(name, WHAT[name]) for name in WHAT if name in told)
    because = {grant["because"] for entry in of for grant in entry["grants"]}
    reasons = " and ".join(_BECAUSE[each] for each in _BECAUSE if each in because)
    why = f" {whose} could tell because {reasons}." if reasons else ""
    return (
        f"{when} was told by {whose}: {what or 'that there is a record about you'}. "
        f"It was for {purpose_statement(purpose)}.{why}"
    )
