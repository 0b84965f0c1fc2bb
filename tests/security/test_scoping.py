"""One rule on every path, seen from outside: real tokens, through the gateway, every door tried.

What a reader may not see answers as what is not there, is in no list, no count, no search and no
message, and none of its text or ids is in any byte that the reader gets.
"""

import json
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from careloop.demo.checks import eventually
from careloop.demo.receiver import Receiver
from careloop.partner import Answer, must
from tests import world
from tests.security.stage import SEES, Stage, feed, set_up

# the first test waits for a whole platform and a story played on it
pytestmark = pytest.mark.timeout(600)

CONTRACTS = Path(__file__).parents[2] / "contracts" / "openapi"
STRANGERS = ("housing", "outsider")
NOT_THERE = "cas_0000000000000000000000000z"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with world.platform() as platform, Receiver() as receiver:
        platform.start()
        yield set_up(platform, receiver)


# row -> the classes that a reader needs to learn of it; None: any class at all
ROWS = {
    "case": ("/v1/cases/{case}", None),
    "note": ("/v1/cases/{case}/notes/{note}", {"notes"}),
    "clinical note": ("/v1/cases/{case}/notes/{clinical note}", {"notes", "clinical"}),
    "sud note": ("/v1/cases/{case}/notes/{sud note}", {"notes", "substance-use"}),
    "goal": ("/v1/cases/{case}/goals/{goal}", {"plan"}),
    "activity": ("/v1/cases/{case}/activities/{activity}", {"plan"}),
    "need": ("/v1/cases/{case}/needs/{need}", {"needs"}),
    "decision": ("/v1/cases/{case}/decisions/{decision}", {"coordination"}),
    "party": ("/v1/cases/{case}/parties/{party}", {"coordination"}),
    "task": ("/v1/tasks/{task}", {"coordination"}),
    "letter": ("/v1/documents/{letter}", {"clinical"}),
}


def path_of(stage: Stage, who: str, row: str) -> str:
    return re.sub(r"{(.+?)}", lambda name: stage.ids[f"{who} {name[1]}"], ROWS[row][0])


def may_learn(reader: str, row: str) -> bool:
    needed = ROWS[row][1]
    return bool(SEES[reader]) if needed is None else needed <= SEES[reader]


# get


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("reader", SEES)
def test_a_row_is_there_for_those_who_hold_its_classes_only(stage: Stage, reader: str, row: str):
    status = stage.partner(reader).get(path_of(stage, "ada", row)).status
    assert status == (200 if may_learn(reader, row) else 404)
    assert stage.clinic.get(path_of(stage, "ada", row)).status == 200


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("reader", SEES)
def test_nothing_of_another_person_is_there(stage: Stage, reader: str, row: str):
    assert stage.partner(reader).get(path_of(stage, "berta", row)).status == 404
    assert stage.clinic.get(path_of(stage, "berta", row)).status == 200


def test_a_social_service_cannot_read_a_clinical_note_by_any_way_to_it(stage: Stage):
    note, case = stage.ids["ada clinical note"], stage.ids["ada case"]
    assert stage.food.get(f"/v1/cases/{case}/notes/{note}").status == 404
    listed = list(stage.food.items(f"/v1/cases/{case}/notes"))
    assert [one["id"] for one in listed] == [stage.ids["ada note"]]
    assert list(stage.food.items(f"/v1/cases/{case}/notes", kind="clinical")) == []
    assert must(stage.food.get(f"/v1/cases/{case}")).body["counts"]["notes"] == 1
    timeline = json.dumps(list(stage.food.items(f"/v1/cases/{case}/timeline")))
    assert note not in timeline
    assert note not in json.dumps(feed(stage.food))


def test_a_payer_reads_no_note_and_no_other_persons_case(stage: Stage):
    case = f"/v1/cases/{stage.ids['ada case']}"
    assert list(stage.payer.items(f"{case}/notes")) == []
    body = must(stage.payer.get(case)).body
    assert body["outcome_code"] == "needs-met"
    assert {"notes", "title", "summary", "number"}.isdisjoint({*body, *(body["counts"] or ())})
    assert [one["id"] for one in stage.payer.items("/v1/cases")] == [stage.ids["ada case"]]
    assert stage.payer.get(f"/v1/cases/{stage.ids['berta case']}").status == 404


def test_a_payers_timeline_says_that_help_came_and_not_for_what_or_by_whom(stage: Stage):
    entries = list(stage.payer.items(f"/v1/cases/{stage.ids['ada case']}/timeline"))
    assert {one["action"] for one in entries} >= {"referral.completed", "case.closed"}
    told = {key for entry in entries for key in entry["change"]}
    assert "need_met" in told
    assert {"need_id", "need_category", "service_id", "recipient_id"}.isdisjoint(told)


def test_the_document_of_the_plan_goes_to_who_holds_its_class(stage: Stage):
    for reader, sees in SEES.items():
        path = f"/v1/documents/{stage.ids['ada plan']}"
        expected = 200 if "plan" in sees else 404
        assert stage.partner(reader).get(path).status == expected
        assert stage.partner(reader).get(f"{path}/content").status == expected


@pytest.mark.parametrize("reader", STRANGERS)
def test_what_is_hidden_answers_as_what_is_not_there(stage: Stage, reader: str):
    partner = stage.partner(reader)
    hidden = partner.get(f"/v1/cases/{stage.ids['ada case']}")
    absent = partner.get(f"/v1/cases/{NOT_THERE}")
    assert _plain(hidden) == _plain(absent)


def _plain(answer: Answer) -> tuple[int, dict[str, str], set[str]]:
    body = {name: value for name, value in answer.body.items() if name != "trace_id"}
    return answer.status, body, {name for name in answer.headers if name != "traceparent"}


# list, count, search


@pytest.mark.parametrize("reader", STRANGERS)
@pytest.mark.parametrize(
    "path", ["/v1/cases", "/v1/persons", "/v1/tasks", "/v1/referrals", "/v1/documents"]
)
def test_an_outsider_has_empty_lists(stage: Stage, reader: str, path: str):
    ours = {value for name, value in stage.ids.items() if "worker" not in name}
    listed = [one["id"] for one in stage.partner(reader).items(path)]
    assert ours.isdisjoint(listed)
    if reader == "outsider":
        assert listed == []


@pytest.mark.parametrize("reader", SEES)
def test_counts_count_what_is_listed(stage: Stage, reader: str):
    partner = stage.partner(reader)
    for noun in ("cases", "referrals", "documents"):
        for narrowed in ({}, {"person_id": stage.ids["ada"]}, {"person_id": stage.ids["berta"]}):
            listed = len(list(partner.items(f"/v1/{noun}", **narrowed)))
            counted = must(partner.get(f"/v1/{noun}/count", **narrowed)).body["count"]
            assert counted == listed, (noun, narrowed)
            if narrowed.get("person_id") == stage.ids["berta"]:
                assert counted == 0


def test_a_hidden_field_cannot_be_searched_filtered_or_counted_by(stage: Stage):
    number = must(stage.clinic.get(f"/v1/cases/{stage.ids['ada case']}")).body["number"]
    family, worker = stage.ids["ada family name"], stage.ids["ada worker"]
    for field, value in (("number", number), ("worker", worker), ("need", "food-insecurity")):
        seen = [list(stage.partner(who).items("/v1/cases", **{field: value})) for who in SEES]
        assert [bool(one) for one in seen] == [True, False, False, False], field
        counts = [
            must(stage.partner(who).get("/v1/cases/count", **{field: value})).body["count"]
            for who in ("payer", *STRANGERS)
        ]
        assert counts == [0, 0, 0], field
    for who, found in (("food", 1), ("payer", 0), ("housing", 0), ("outsider", 0)):
        assert len(list(stage.partner(who).items("/v1/persons", q=family))) == found, who
    assert list(stage.food.items("/v1/persons", q=stage.ids["berta family name"])) == []


def test_a_filter_on_a_hidden_category_finds_no_referral(stage: Stage):
    wanted = {"need_category": "food-insecurity", "case_id": stage.ids["ada case"]}
    assert must(stage.clinic.get("/v1/referrals/count", **wanted)).body["count"] == 1
    assert must(stage.food.get("/v1/referrals/count", **wanted)).body["count"] == 1
    assert must(stage.payer.get("/v1/referrals/count", **wanted)).body["count"] == 0
    assert list(stage.payer.items("/v1/referrals", **wanted)) == []
    assert len(list(stage.payer.items("/v1/referrals", case_id=wanted["case_id"]))) == 1


# writing


@pytest.mark.parametrize("reader", STRANGERS)
def test_a_write_below_what_is_hidden_finds_nothing(stage: Stage, reader: str):
    partner, case = stage.partner(reader), f"/v1/cases/{stage.ids['ada case']}"
    referral, document = stage.ids["referral"], stage.ids["ada plan"]
    before = must(stage.clinic.get(case)).headers["etag"]
    for answer in (
        partner.post(f"{case}/notes", {"kind": "coordination", "text": "hello"}),
        partner.post(f"{case}/goals", {"description": "hello"}),
        partner.post(f"{case}/reopen", {"reason": "hello"}, version=7),
        partner.patch(case, {"title": "mine"}, version=7),
        partner.post(f"/v1/tasks/{stage.ids['ada task']}/claim", {"worker": "me"}, version=1),
        partner.post(f"/v1/referrals/{referral}/messages", {"text": "hello"}),
        partner.post(f"/v1/referrals/{referral}/void", {"reason": "none"}, version=4),
        partner.patch(f"/v1/documents/{document}", {"title": "mine"}, version=2),
    ):
        assert answer.status == 404, answer.body
    assert must(stage.clinic.get(case)).headers["etag"] == before


# feed and webhook


def test_the_feed_tells_each_partner_of_its_own_part(stage: Stage):
    for reader, sees in SEES.items():
        told = {event["data"]["id"] for event in feed(stage.partner(reader))}
        for who, row in product(("ada", "berta"), ROWS):
            if who == "berta" or not may_learn(reader, row):
                assert stage.ids[f"{who} {row}"] not in told, (reader, who, row)
        assert (stage.ids["referral"] in told) is bool(sees), reader
    kinds = {event["type"].removeprefix("org.careloop.") for event in feed(stage.payer)}
    assert any(kind.startswith("case.closed") for kind in kinds)
    assert not any(kind.startswith(("note.", "need.", "document.", "person.")) for kind in kinds)


@pytest.mark.parametrize("reader", STRANGERS)
def test_an_outsider_never_receives_a_webhook_about_either_person(stage: Stage, reader: str):
    messages = json.dumps(list(stage.receiver.messages[f"/{reader}"].values()))
    deliveries = json.dumps(list(stage.partner(reader).items("/v1/deliveries")))
    for name, value in stage.ids.items():
        # the outsider is told of the consent that names it, and so of whom it is about
        if name != "ada":
            assert value not in messages + deliveries, name


def test_webhooks_carry_what_the_feed_carries_and_nothing_else(stage: Stage):
    for reader in SEES:
        in_feed = {event["id"] for event in feed(stage.partner(reader))}
        assert stage.receiver.messages[f"/{reader}"].keys() <= in_feed, reader
    everything = json.dumps(stage.receiver.messages)
    assert not [canary for canary in stage.canaries if canary in everything]
    assert stage.receiver.refused == 0


# every byte

# path parameter -> the rows whose ids are tried there
PARAMETERS = {
    "case_id": ("case",),
    "note_id": ("note", "clinical note", "sud note"),
    "goal_id": ("goal",),
    "activity_id": ("activity",),
    "need_id": ("need",),
    "decision_id": ("decision",),
    "party_id": ("party",),
    "task_id": ("task",),
    "record_id": ("record",),
    "document_id": ("letter", "plan"),
    "person_id": ("",),
    "referral_id": ("referral",),
}
# what only its own organisation has; another test opens these with foreign ids
OWN = {
    *("assessment_id", "member_id", "number_id", "type_id", "service_id", "agreement_id"),
    *("client_id", "consent_id", "grant_id", "organisation_id", "delivery_id", "endpoint_id"),
    *("draft_id", "access_id", "entry_id", "number", "report", "issuer_id", "policy_id"),
}


def doors(stage: Stage) -> set[str]:
    """Every GET of every contract, with every id of both persons, rows of one in cases of the other."""
    found = set()
    for contract in sorted(CONTRACTS.glob("*.json")):
        for path, methods in json.loads(contract.read_text())["paths"].items():
            names = re.findall(r"{(\w+)}", path)
            if "get" not in methods or not path.startswith("/v1/") or OWN & set(names):
                continue
            tried = [
                [
                    stage.ids[key]
                    for who, row in product(("ada", "berta"), PARAMETERS[name])
                    if (key := row if row == "referral" else f"{who} {row}".strip()) in stage.ids
                ]
                for name in names
            ]
            for chosen in product(*tried):
                values = iter(chosen)
                found.add(re.sub(r"{\w+}", lambda _, values=values: next(values), path))
    return found


def test_every_route_with_an_id_is_tried(stage: Stage):
    opened = doors(stage)
    assert len(opened) > 80
    assert f"/v1/cases/{stage.ids['ada case']}/notes/{stage.ids['berta note']}" in opened


@pytest.mark.parametrize("reader", SEES)
def test_no_byte_that_leaves_holds_what_the_reader_may_not_know(stage: Stage, reader: str):
    hidden = {
        canary: needs
        for canary, needs in stage.canaries.items()
        if needs is None or not needs <= SEES[reader]
    }
    if reader == "food":  # a party of the referral: its words are its own
        hidden = {canary: needs for canary, needs in hidden.items() if needs != {"notes"}}
    rows = {
        stage.ids[f"{who} {row}"]: f"{who} {row}"
        for who, row in product(("ada", "berta"), ROWS)
        if who == "berta" or not may_learn(reader, row)
    }
    assert hidden
    for door in sorted(doors(stage)):
        answer = stage.partner(reader).get(door)
        assert answer.status in (200, 400, 403, 404, 409, 422), (door, answer.status)
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        left = (body + str(dict(answer.headers)).encode()).decode(errors="replace")
        leaked = {text: why for text, why in {**hidden, **rows}.items() if text in left}
        assert not leaked, door


def test_the_canaries_are_there_to_be_found(stage: Stage):
    """Else the test above would prove nothing: the clinic gets every one of them."""
    everything = "".join(str(stage.clinic.get(door).body) for door in sorted(doors(stage)))
    lost = [canary for canary in stage.canaries if canary not in everything]
    assert lost == []
    seen = "".join(str(stage.food.get(door).body) for door in sorted(doors(stage)))
    owed = {c for c, needs in stage.canaries.items() if needs and needs <= SEES["food"]}
    assert len({canary for canary in owed if canary in seen}) > len(owed) / 2


# withdrawal: last, for it changes the stage


def test_a_withdrawn_consent_closes_every_door_at_once(stage: Stage):
    consent = stage.consents["payer"]
    case, referral = f"/v1/cases/{stage.ids['ada case']}", f"/v1/referrals/{stage.ids['referral']}"
    must(stage.clinic.post(f"/v1/consents/{consent.body['id']}/withdraw", version=consent.version))
    eventually(lambda: stage.payer.get(case).status == 404, "the payer still sees the case")
    eventually(lambda: stage.payer.get(referral).status == 404, "and the referral")
    assert list(stage.payer.items("/v1/cases")) == []
    assert must(stage.payer.get("/v1/cases/count")).body["count"] == 0
    told = len(events_of(stage))
    reopened = must(stage.clinic.get(case))
    reason = {"reason": "she asked for help again"}
    must(stage.clinic.post(f"{case}/reopen", reason, version=reopened.version))
    eventually(
        lambda: any("reopened" in event["type"] for event in feed(stage.clinic)), "no reopening"
    )
    assert len(events_of(stage)) <= told
    eventually(lambda: stage.ids["ada case"] in ended_for(stage), "the payer is told of no end")
    assert len(set(ended_for(stage))) == len(ended_for(stage))


ENDED = "org.careloop.access.ended.v1"


def events_of(stage: Stage) -> list[dict[str, Any]]:
    """What the payer's feed tells, but for the notice that there will be no more."""
    return [event for event in feed(stage.payer) if event["type"] != ENDED]


def ended_for(stage: Stage) -> list[str]:
    return [event["data"]["id"] for event in feed(stage.payer) if event["type"] == ENDED]
