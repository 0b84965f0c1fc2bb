"""Decisions in process; that they are right in full is for the matrix and the vectors."""

from datetime import timedelta

from sharing import ALL, evaluate

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


def test_the_custodian_sees_all():
    decision = decide(reader=worlds.as_reader(worlds.reader("org_clinic", "clinic", "")))
    assert (decision.mask, decision.custodian) == (ALL, True)


def test_a_grant_whose_agreement_is_not_known_opens_nothing():
    assert not decide([], [a_grant()]).mask


def test_the_same_facts_say_no_when_time_has_passed():
    facts = worlds.as_facts(
        [an_agreement()], [a_grant(valid_to=worlds.NOW + timedelta(seconds=1))], []
    )
    assert evaluate(facts, FOOD, ROW, at=worlds.NOW).mask
    assert not evaluate(facts, FOOD, ROW, at=worlds.NOW + timedelta(seconds=1)).mask
