"""What the explanation says; that the decision is right is for the matrix and the vectors."""

import json

import pytest
from sharing import evaluate, explain, mask_of, names_of, policy, rule, who_can_see

from tests.unit.sharing import matrix, worlds

ROW = worlds.as_row(
    worlds.row("row", "org_clinic", "per_1", "cas_1", parties=["org_party"], referral_id="ref_1")
)
FOOD = worlds.as_reader(worlds.reader("org_food", "social-service", "COC"))


def an_agreement(**more):
    return worlds.agreement("agr_1", "org_clinic", recipient_id="org_food", **more)


def a_grant(**more):
    return worlds.grant("grt_1", "org_clinic", "org_food", "per_1", "agr_1", **more)


def why(agreements=(), grants=(), consents=(), seals=(), reader=FOOD, **more):
    facts = worlds.as_facts(agreements, grants, consents, seals)
    return explain(reader, ROW, facts, at=worlds.NOW, **more)


def reader(name, kind="clinic", purpose="TREAT"):
    return worlds.as_reader(worlds.reader(name, kind, purpose))


SEAL = worlds.seal("cas_1", "org_clinic")


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        ("custodian", {"reader": reader("org_clinic"), "seals": [SEAL]}),
        ("party", {"reader": reader("org_party")}),
        ("sealed", {"reader": reader("org_party"), "seals": [SEAL]}),
        ("sealed", {"agreements": [an_agreement()], "grants": [a_grant()], "seals": [SEAL]}),
        ("granted", {"agreements": [an_agreement()], "grants": [a_grant()]}),
        ("no-grant", {"agreements": [an_agreement()]}),
        (
            "not-enough",
            {
                "agreements": [an_agreement()],
                "grants": [a_grant()],
                "required": mask_of(["clinical"]),
            },
        ),
    ],
)
def test_the_outcome_is_one_word(outcome, told):
    explained = why(**told)
    assert explained.outcome == outcome
    assert explained.visible is (outcome in {"custodian", "party", "granted"})


def test_each_grant_is_named_with_the_clause_that_failed_and_its_source():
    explained = why([an_agreement()], [a_grant(valid_to=worlds.NOW)]).as_json()
    (grant,) = explained["grants"]
    (failed,) = [each for each in grant["clauses"] if not each["held"]]
    assert (grant["id"], grant["held"], grant["classes"]) == ("grt_1", False, [])
    assert failed == {
        "clause": "grant is in force",
        "held": False,
        "sources": [{"kind": "grant", "id": "grt_1", "version": "1"}],
    }


def test_a_grant_of_another_referral_says_so():
    (grant,) = why([an_agreement()], [a_grant(basis="referral", basis_id="ref_2")]).grants
    assert [one.clause for one in grant.answers if not one.held] == ["grant reaches the referral"]


def test_each_factor_shows_what_it_took_away_and_which_record_said_so():
    said = [worlds.consent("con_1", "per_1", "deny", classes=["notes"])]
    agreement = {**an_agreement(consent_classes=["safety"]), "version": "sha256:ab"}
    explained = why([agreement], [a_grant()], said).as_json()
    (grant,) = explained["grants"]
    looked_at = {"notes", "safety", "clinical"}
    without = {one["factor"]: looked_at - set(one["classes"]) for one in grant["factors"]}
    assert without == {
        "grant opens": set(),
        "agreement allows": set(),
        "policy allows the kind and purpose": {"clinical"},
        "person does not deny": {"notes"},
        "person permits what needs consent": {"safety"},
    }
    sources = {
        one["factor"]: [(each["kind"], each["version"]) for each in one["sources"]]
        for one in grant["factors"]
    }
    assert sources["agreement allows"] == [("agreement", "sha256:ab")]
    assert sources["policy allows the kind and purpose"] == [("policy", policy.current().digest())]
    assert ("consent", "1") in sources["person does not deny"]
    assert explained["consents"][0]["held"] is True
    assert json.loads(json.dumps(explained)) == explained


def test_a_seal_is_a_barrier_with_the_case_as_its_source():
    (barrier,) = why([an_agreement()], [a_grant()], seals=[SEAL]).barriers
    assert (barrier.factor, barrier.mask) == ("case is not sealed", 0)
    assert [source.id for source in barrier.sources] == ["cas_1"]


def test_who_can_see_lists_every_view_that_shows_the_row():
    facts = worlds.as_facts([an_agreement(purposes=["COC"])], [a_grant()], [])
    candidates = [
        worlds.as_reader(worlds.reader(name, kind, ""))
        for name, kind in (
            ("org_clinic", "clinic"),
            ("org_food", "social-service"),
            ("org_party", "payer"),
            ("org_other", "clinic"),
        )
    ]
    who = who_can_see(ROW, facts, candidates, at=worlds.NOW, required=mask_of(["notes"]))
    assert [(view.reader.organisation_id, view.reader.purpose) for view in who] == [
        ("org_clinic", ""),
        ("org_food", "COC"),
        ("org_party", ""),
    ]


def test_the_explanation_and_the_decision_are_one():
    world = matrix.at_random(seed=7, count=40)
    for row, known in world.scenarios():
        facts = worlds.as_facts(
            world.agreements, known["grants"], known["consents"], known["seals"]
        )
        for one in matrix.READERS[::5]:
            asking, plain = worlds.as_reader(one), worlds.as_row(row)
            decision = evaluate(facts, asking, plain, at=worlds.NOW)
            explained = explain(asking, plain, facts, at=worlds.NOW)
            assert explained.mask == decision.mask
            union = 0
            for grant in explained.grants:
                union |= grant.mask
                if grant.held:
                    left = mask_of(names_of(~0))
                    for cut in grant.cuts:
                        left &= cut.mask
                    assert left == grant.mask
            for cut in explained.barriers:
                union &= cut.mask
            assert decision.party or decision.custodian or union == decision.mask


def test_every_clause_that_reads_a_record_names_it():
    explained = why([an_agreement()], [a_grant()], [worlds.consent("con_1", "per_1", "deny")])
    (grant,) = explained.grants
    assert {one.clause for one in grant.answers} == {one.name for one in rule.current().clauses}
    assert all(one.sources for one in grant.answers)
