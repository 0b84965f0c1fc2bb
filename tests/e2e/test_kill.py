"""kill -9 of any one service in the middle of the loop: it completes, nothing lost or doubled."""

from collections import Counter

import pytest

from careloop.demo import stage
from careloop.demo.checks import eventually
from careloop.demo.journey import Journey
from careloop.demo.steps import STEPS
from tests.world import SERVICES, Platform

# where each service has most to lose: while its events and commands are on their way
MOMENTS = (
    "records what the person permits",
    "accepts and starts",
    "closes the loop with an outcome",
)
TOLD_OF_A_REFERRAL = Counter(
    {
        "referral.requested": 1,
        "referral.accepted": 1,
        "referral.started": 1,
        "referral.completed": 1,
    }
)


@pytest.mark.parametrize("service", SERVICES)
def test_the_loop_survives_a_kill(platform: Platform, service: str):
    killed = []
    with stage(platform.sandbox(), platform.data_dir) as played:
        for _who, what, step in STEPS:
            if what in MOMENTS:
                killed.append(platform.kill(service))
            step(played)
            if what in MOMENTS:
                eventually(lambda: platform.pids()[service] not in killed, f"{service} stays down")
        assert len(set(killed)) == len(MOMENTS)
        assert_nothing_lost_or_doubled(played)
        played.leave()


def assert_nothing_lost_or_doubled(played: Journey) -> None:
    case = f"/v1/cases/{played.case['id']}"
    clinic = played.clinic
    for what, count in (("notes", 2), ("goals", 1), ("needs", 1), ("activities", 1)):
        assert len(list(clinic.items(f"{case}/{what}"))) == count, what
    mine = {"case_id": played.case["id"]}
    assert len(list(clinic.items("/v1/referrals", **mine))) == 1
    assert len(list(clinic.items("/v1/documents", referral_id=played.referral["id"]))) == 1
    assert len(list(clinic.items(f"/v1/referrals/{played.referral['id']}/messages"))) == 2
    consents = clinic.items("/v1/consents", person_id=played.person["id"])
    assert len([each for each in consents if each["person_id"] == played.person["id"]]) == 2

    actions = Counter(entry["action"] for entry in clinic.items(f"{case}/timeline"))
    doubled = {action: n for action, n in actions.items() if n > 1 and action in ONCE}
    assert not doubled

    for partner in (clinic, played.food):
        events = list(played.feed(partner))
        assert len({event["id"] for event in events}) == len(events)
        kinds = Counter(kind(event["type"]) for event in events)
        assert {name: kinds[name] for name in TOLD_OF_A_REFERRAL} == TOLD_OF_A_REFERRAL


ONCE = {
    *("case.opened", "case.closed", "assessment.completed", "goal.set", "activity.planned"),
    *("referral.requested", "referral.accepted", "referral.started", "referral.completed"),
}


def kind(event_type: str) -> str:
    return event_type.removeprefix("org.careloop.").removesuffix(".v1")
