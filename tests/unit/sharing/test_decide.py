"""The decider says of every row what the evaluator says, under any rule: it reads the same nodes."""

import json

import pytest
from sharing import evaluate, policy, rule
from sharing.decide import Decider

from tests.prove import mutants
from tests.unit.sharing import matrix, worlds

WORLD = matrix.at_random(seed=3, count=30)
FACTS = worlds.as_facts(WORLD.agreements, WORLD.grants, WORLD.consents, WORLD.seals)
ROWS = [worlds.as_row(row) for row in WORLD.rows]
READERS = [worlds.as_reader(one) for one in matrix.READERS]
SOME = [one for one in READERS if one.purpose in {"COC", "BTG"}]


def alone(row):
    """What bears on one row: the evaluator looks at every record it is given."""
    return worlds.as_facts(
        WORLD.agreements,
        [one for one in WORLD.grants if one["person_id"] in {row.person_id, "person_other"}],
        [one for one in WORLD.consents if one["person_id"] in {row.person_id, "person_other"}],
        [one for one in WORLD.seals if one["case_id"] == row.case_id],
    )


KNOWN = {row: alone(row) for row in ROWS}


def differing(readers, with_rule):
    for reader in readers:
        decide = Decider(FACTS, reader, at=worlds.NOW, rule=with_rule)
        for row in ROWS:
            expected = evaluate(KNOWN[row], reader, row, at=worlds.NOW, rule=with_rule).mask
            if decide(row) != expected or decide(row) != expected:
                yield reader, row


def test_decider_and_evaluator_are_one():
    assert not list(differing(READERS[::2], None))


LIMITS = [
    {"name": "of the row", "classes": ["notes"], "only_when": {"missing": "row.referral_id"}},
    {
        "name": "two of the row",
        "classes": ["identity"],
        "only_when": {"differ": ["row.custodian_id", "row.case_id"]},
    },
    {
        "name": "mixed",
        "classes": ["outcome", "coordination"],
        "only_when": {
            "any": [
                {"at_most": ["row.confidentiality", "agreement.confidentiality"]},
                {"one_of": ["grant.basis", ["emergency"]]},
                {"holds": "row.about_person"},
            ]
        },
    },
]


def test_they_are_one_under_a_policy_with_limits_that_read_the_row():
    plain = policy.current().model_dump(mode="json") | {"limits": LIMITS}
    assert not list(differing(READERS[1::3], rule.under(policy.parse(json.dumps(plain)))))


# without the clauses that name a person or a case, a record is about every row: the facts differ
_ABOUT_ALL = {"grant is about the person", "directive is the person's", "seal is on the case"}


@pytest.mark.parametrize(
    "weaker",
    [
        pytest.param(one, id=name)
        for name, one in mutants.weaker()
        if name not in _ABOUT_ALL and "branch" not in name
    ],
)
def test_they_are_one_under_a_rule_that_lacks_a_part(weaker):
    assert not list(differing(SOME[:2], weaker))
