"""Reports of the ledger on a small history whose figures are counted by hand."""

from datetime import UTC, datetime

import pytest
from gateway import accounting

NAMES = {"org_a": "Harbor Food Bank", "org_b": "Meridian Health Plan", "org_c": "Lakeside Clinic"}
UNTIL = datetime(2026, 11, 22, tzinfo=UTC)
SINCE = accounting.years_before(UNTIL, 6)


def entry(n, at, to, purpose, *classes, outcome="disclosed", because=(), general=None):
    grants = [{"because": each} for each in because]
    consents = [] if general is None else [{"general": general, "classes": list(classes)}]
    return {
        "id": f"led_{n}",
        "at": f"{at}T10:00:00.000000Z",
        "outcome": outcome,
        "organisation": to,
        "custodian": "org_c",
        "purpose": purpose,
        "classes": list(classes),
        "grants": grants,
        "consents": consents,
    }


# 12 events: 3 for public health (org_b), 1 for research without a permit (org_a), 2 for research
# under a permit (org_a), 3 for coordinating care, 2 for operations, and a refusal
HISTORY = [
    entry(1, "2025-01-02", "org_b", "PUBHLTH", "clinical", because=["legal"]),
    entry(2, "2025-02-03", "org_a", "COC", "needs", because=["referral"]),
    entry(3, "2025-03-04", "org_b", "PUBHLTH", "outcome", because=["legal"]),
    entry(4, "2025-04-05", "org_a", "HRESCH", "identity", because=["legal", "consent"]),
    entry(5, "2025-05-06", "org_a", "HRESCH", "plan", because=["consent"]),
    entry(6, "2025-06-07", "org_b", "HOPERAT", "outcome", because=["consent"]),
    entry(7, "2025-07-08", "org_b", "CAREMGT", "outcome", because=["consent"]),
    entry(8, "2025-08-09", "org_b", "PUBHLTH", outcome="denied"),
    entry(9, "2025-09-10", "org_b", "PUBHLTH", "clinical", because=["legal"]),
    entry(10, "2025-10-11", "org_a", "HRESCH", "plan", because=["consent"]),
    entry(11, "2025-11-12", "org_a", "COC", "needs", "plan", because=["referral", "consent"]),
    entry(12, "2025-11-12", "org_a", "COC", "contact", because=["referral"]),
]


@pytest.fixture
def report():
    return accounting.accounting(HISTORY, NAMES, since=SINCE, until=UNTIL)


def test_the_accounting_holds_what_the_rule_does_not_leave_out(report):
    assert [(d["recipient"]["id"], d["purpose"], d["number"]) for d in report["disclosures"]] == [
        ("org_b", "PUBHLTH", 3),
        ("org_a", "HRESCH", 1),
    ]


def test_repeated_disclosures_are_the_first_in_full_their_number_and_the_last_date(report):
    line = report["disclosures"][0]
    assert line["recipient"] == {"id": "org_b", "name": "Meridian Health Plan"}
    assert line["purpose_statement"] == "public health"
    assert line["first"] == {
        "entry": "led_1",
        "at": "2025-01-02T10:00:00.000000Z",
        "description": "clinical information",
        "basis": ["legal"],
    }
    assert line["last_at"] == "2025-09-10T10:00:00.000000Z"
    assert line["description"] == "clinical information; what came of the help"


def test_a_disclosure_by_law_names_what_it_follows():
    asked = entry(1, "2025-01-02", "org_b", "PUBHLTH", "clinical") | {
        "grants": [{"id": "grt_1", "because": "legal"}, {"id": "grt_2", "because": "consent"}]
    }
    found = accounting.accounting(
        [asked], NAMES, {"grt_1": "Order 7", "grt_9": "Order 8"}, since=SINCE, until=UNTIL
    )
    first = found["disclosures"][0]["first"]
    assert (first["basis"], first["references"]) == (["consent", "legal"], ["Order 7"])


def test_what_the_rule_leaves_out_is_there_with_its_exemption(report):
    found = [
        (d["recipient"]["id"], d["purpose"], d["number"], d["exemption"]["rule"])
        for d in report["exempt"]
    ]
    assert found == [
        ("org_a", "COC", 3, "45 CFR 164.528(a)(1)(i)"),
        ("org_a", "HRESCH", 2, "45 CFR 164.528(a)(1)(iv)"),
        ("org_b", "HOPERAT", 1, "45 CFR 164.528(a)(1)(i)"),
        ("org_b", "CAREMGT", 1, "45 CFR 164.528(a)(1)(i)"),
    ]


def test_refusals_are_no_disclosures(report):
    counted = sum(d["number"] for d in [*report["disclosures"], *report["exempt"]])
    assert counted == len(HISTORY) - 1 == 11


@pytest.mark.parametrize(
    ("at", "years", "expected"),
    [
        (datetime(2026, 11, 22, tzinfo=UTC), 6, datetime(2020, 11, 22, tzinfo=UTC)),
        (datetime(2028, 2, 29, tzinfo=UTC), 3, datetime(2025, 2, 28, tzinfo=UTC)),
    ],
)
def test_years_are_years_of_the_calendar(at, years, expected):
    assert accounting.years_before(at, years) == expected


def test_the_list_of_an_intermediary_is_of_part_2_data_under_a_general_designation():
    history = [
        entry(1, "2025-01-02", "org_a", "TREAT", "substance-use", general=True),
        entry(2, "2025-01-03", "org_a", "TREAT", "clinical", general=True),
        entry(3, "2025-01-04", "org_b", "TREAT", "substance-use", general=False),
        entry(4, "2025-01-05", "org_b", "TREAT", "substance-use", "plan", general=True),
        entry(5, "2025-01-06", "org_a", "TREAT", "substance-use", general=True),
        entry(6, "2025-01-07", "org_a", "TREAT", outcome="denied"),
    ]
    found = accounting.intermediary_list(history, NAMES, since=SINCE, until=UNTIL)
    told = {
        line["recipient"]["name"]: [each["at"][:10] for each in line["disclosures"]]
        for line in found["recipients"]
    }
    assert told == {
        "Harbor Food Bank": ["2025-01-02", "2025-01-06"],
        "Meridian Health Plan": ["2025-01-05"],
    }
    assert found["named"] == 1
    last = found["recipients"][1]["disclosures"][0]
    assert last["description"] == "the plan of help; substance use treatment information"


def test_the_persons_own_view_is_sentences():
    lines = accounting.own_view(HISTORY[7:], NAMES)["lines"]
    assert [(line["date"], line["outcome"], line["times"]) for line in lines] == [
        ("2025-08-09", "denied", 1),
        ("2025-09-10", "disclosed", 1),
        ("2025-10-11", "disclosed", 1),
        ("2025-11-12", "disclosed", 2),
    ]
    assert lines[0]["text"] == (
        "On 9 August 2025 Meridian Health Plan asked for information that Lakeside Clinic keeps "
        "about you. Nothing was told."
    )
    assert lines[3]["text"] == (
        "On 12 November 2025 Harbor Food Bank was told by Lakeside Clinic: how to reach you; what "
        "you need; the plan of your help. It was for coordinating care. Lakeside Clinic could tell "
        "because you had allowed it and you were referred there for help."
    )
