"""What the explanation says; that the decision is right is for the matrix and the vectors."""

import json
from datetime import timedelta

from sharing import ALL, evaluate, names_of, policy

from tests.unit.sharing import worlds

ROW = worlds.as_row(worlds.row("row", "org_clinic", "per_1", "cas_1"))
FOOD = worlds.as_reader(worlds.reader("org_food", "social-service", "COC"))


def decide(agreements=(), grants=(), consents=(), reader=FOOD):
    facts = worlds.as_facts(agreements, grants, consents)
    return evaluate(facts, reader, ROW, at=worlds.NOW)


def an_agreement(**more):
    return worlds.agreement("agr_1", "org_clinic", recipient_id="org_food", **more)


def a_grant(**more):
    return worlds.grant("grt_1", "org_clinic", "org_food", "per_1", "agr_1", **more)


def test_the_custodian_sees_all_and_is_told_why():
    decision = decide(reader=worlds.as_reader(worlds.reader("org_clinic", "clinic", "")))
    assert decision.mask == ALL
    assert decision.explain()["custodian"] is True


def test_an_explanation_names_each_grant_and_the_clause_that_failed():
    ended = a_grant(valid_to=worlds.NOW)
    (grant,) = decide([an_agreement()], [ended]).explain()["grants"]
    failed = [each["clause"] for each in grant["clauses"] if not each["held"]]
    assert grant["grant"] == "grt_1"
    assert failed == ["grant is in force"]
    assert grant["classes"] == grant["factors"] == []


def test_an_explanation_shows_which_factor_took_a_class_away():
    said = [worlds.consent("con_1", "per_1", "deny", classes=["notes"])]
    decision = decide([an_agreement(consent_classes=["safety"])], [a_grant()], said)
    explained = decision.explain()
    (grant,) = explained["grants"]
    without = {
        factor["factor"]: {"notes", "safety", "clinical"} - set(factor["classes"])
        for factor in grant["factors"]
    }
    assert without == {
        "grant opens": set(),
        "agreement allows": set(),
        "policy allows the kind and purpose": {"clinical"},
        "person does not deny": {"notes"},
        "person permits what needs consent": {"safety"},
    }
    assert explained["consents"] == ["con_1"]
    assert explained["policy"] == policy.current().digest()
    assert explained["classes"] == names_of(decision.mask) == grant["classes"]
    assert json.loads(json.dumps(explained)) == explained


def test_a_grant_whose_agreement_is_not_known_opens_nothing():
    assert not decide([], [a_grant()]).mask


def test_the_same_facts_say_no_when_time_has_passed():
    facts = worlds.as_facts(
        [an_agreement()], [a_grant(valid_to=worlds.NOW + timedelta(seconds=1))], []
    )
    assert evaluate(facts, FOOD, ROW, at=worlds.NOW).mask
    assert not evaluate(facts, FOOD, ROW, at=worlds.NOW + timedelta(seconds=1)).mask
