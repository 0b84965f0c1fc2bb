"""A token in every field of every tenant, looked for in every byte that leaves or is written down.

What partners get over the API is scanned in tests/security/test_scoping.py; here is all the rest:
what services log, trace, count and send each other, what refusals and cursors repeat, and that a
field somebody may not see changes nothing of what somebody gets.
"""

import base64
import json
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from careloop.demo.checks import eventually
from careloop.demo.receiver import Receiver
from careloop.partner import must
from tests import world, written
from tests.security.stage import SEES, Stage, feed, set_up
from tests.security.test_scoping import doors

pytestmark = pytest.mark.timeout(600)
BLIND = ("housing", "outsider")


@pytest.fixture(scope="module", params=["postgres", pytest.param("kafka", marks=pytest.mark.kafka)])
def played(request: pytest.FixtureRequest) -> Iterator[tuple[world.Platform, Stage]]:
    on_kafka = request.param == "kafka"
    event_log = request.getfixturevalue("kafka_url") if on_kafka else None
    with world.platform(event_log) as platform, Receiver() as receiver:
        platform.start()
        yield platform, set_up(platform, receiver)


def found_in(stage: Stage, text: str) -> list[str]:
    return [canary for canary in stage.canaries if canary in text]


def test_no_log_and_no_trace_holds_what_a_partner_wrote(played):
    platform, stage = played
    files = dict(written.files(platform))
    assert len(files) > 9
    for name, text in files.items():
        assert found_in(stage, text) == [], name


def test_no_metric_holds_what_a_partner_wrote(played):
    platform, stage = played
    for name, text in written.metrics(platform):
        assert "careloop_" in text
        assert found_in(stage, text) == [], name
        assert [one for one in stage.ids.values() if one in text] == [], name


def test_no_event_on_the_log_holds_what_a_partner_wrote(played):
    """Every record of every topic from the beginning: key, headers and value."""
    platform, stage = played
    told: Counter[str] = Counter()
    for topic, head, value in written.records(platform):
        told[topic] += 1
        assert found_in(stage, (head + value).decode(errors="replace")) == [], topic
        if stage.ids["ada case"].encode() in value:
            told["of ada's case"] += 1
    topics = ("case.v1", "document.v1", "notify.v1", "referral.v1", "sharing.v1")
    assert all(told[topic] for topic in (*topics, "of ada's case")), told


def test_a_refusal_does_not_repeat_what_it_refuses(played):
    _, stage = played
    canary = stage.canary(private=True)
    case = f"/v1/cases/{stage.ids['ada case']}"
    refused = [
        stage.clinic.post("/v1/persons", {"family_name": canary, canary: canary}),
        stage.clinic.post(f"{case}/notes", {"kind": canary, "text": canary}),
        stage.clinic.post("/v1/consents", {"person_id": canary, "decision": canary}),
        stage.clinic.get(f"/v1/cases/{canary}"),
        stage.clinic.get("/v1/cases", cursor=canary),
        stage.clinic.get("/v1/cases", status=canary),
        stage.clinic.get("/v1/events", after=canary),
        stage.food.get(f"{case}/notes/{canary}"),
    ]
    for answer in refused:
        assert 400 <= answer.status < 500
        said = json.dumps(answer.body) + str(dict(answer.headers))
        # the name of a field that is not known is told to whom sent it, as its place
        assert canary not in said.replace(f"#/{canary}", ""), answer.body
    del stage.canaries[canary]


def test_no_cursor_holds_what_a_partner_wrote(played):
    _, stage = played
    case = f"/v1/cases/{stage.ids['ada case']}"
    cursors = 0
    for who in SEES:
        for path in ("/v1/cases", "/v1/persons", f"{case}/notes", f"{case}/timeline", "/v1/tasks"):
            page = must(stage.partner(who).get(path, limit=1), 200, 404).body
            if cursor := page.get("next"):
                cursors += 1
                padded = re.sub(r"[^\w-]", "", cursor) + "==="
                raw = base64.urlsafe_b64decode(padded[: len(padded) // 4 * 4])
                assert found_in(stage, cursor + raw.decode(errors="replace")) == []
    assert cursors


def _everything(stage: Stage, who: str) -> dict[str, str]:
    """Every byte a partner gets by any door, but the trace's number and the hour.

    The ledger is left out: it grows by what the partner itself asks here.
    """
    found = {}
    for door in sorted(one for one in doors(stage) if not one.startswith("/v1/ledger")):
        answer = stage.partner(who).get(door)
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        gone = {"traceparent", "date", "ratelimit", "ratelimit-policy", "content-length"}
        headers = sorted((k, v) for k, v in answer.headers.items() if k.lower() not in gone)
        text = re.sub(rb'"trace_id": "\w*"', b"", body).decode(errors="replace")
        found[door] = f"{answer.status} {headers} {text}"
    found["feed"] = json.dumps(feed(stage.partner(who)))
    found["webhooks"] = json.dumps(stage.receiver.messages[f"/{who}"])
    return found


@pytest.mark.parametrize("who", BLIND)
def test_a_hidden_field_that_changes_changes_no_byte_for_who_is_blind(played, who: str):
    _, stage = played
    before = _everything(stage, who)
    for person in ("ada", "berta"):
        case = must(stage.clinic.get(f"/v1/cases/{stage.ids[f'{person} case']}"))
        path = f"/v1/cases/{stage.ids[f'{person} case']}"
        must(stage.clinic.patch(path, {"title": stage.canary(private=True)}, version=case.version))
        record = f"/v1/persons/{stage.ids[person]}/records/{stage.ids[f'{person} record']}"
        standing = must(stage.clinic.get(record))
        phone = {"phone": stage.canary(private=True)}
        must(stage.clinic.patch(record, phone, version=standing.version))
    after = _everything(stage, who)
    assert before == after
    assert len(before) > 80


# a field of a row of Ada's, and what a reader needs to see it
FIELDS = [
    ("/v1/cases/{case}", "title", {"coordination"}),
    ("/v1/cases/{case}", "summary", {"notes"}),
    ("/v1/cases/{case}/needs/{need}", "description", {"needs", "notes"}),
    ("/v1/cases/{case}/goals/{goal}", "own_words", {"plan"}),
    ("/v1/cases/{case}/activities/{activity}", "description", {"plan"}),
    ("/v1/tasks/{task}", "title", {"coordination"}),
    ("/v1/tasks/{task}", "description", {"coordination", "notes"}),
    ("/v1/persons/{}/records/{record}", "member_number", {"financial"}),
    ("/v1/persons/{}/records/{record}", "phone", {"contact"}),
    ("/v1/documents/{letter}", "title", {"clinical"}),
    ("/v1/documents/{plan}", "title", {"plan"}),
    ("/v1/referrals/{referral}", "requester_number", {"coordination"}),
]


def _change_what_is_hidden(stage: Stage, who: str) -> set[tuple[str, int]]:
    """Change every such field that the reader does not see, add a row it does not see."""
    told = set()
    for template, name, needed in FIELDS:
        if needed <= SEES[who]:
            continue
        ids = {**stage.ids, "ada referral": stage.ids["referral"]}
        path = re.sub(r"{(.*?)}", lambda row, ids=ids: ids[f"ada {row[1]}".strip()], template)
        standing = must(stage.clinic.get(path))
        body = {name: stage.canary(private=True)}
        made = must(stage.clinic.patch(path, body, version=standing.version))
        if "/records/" not in path:
            told.add((made.body["id"], made.body["version"]))
    note = {"kind": "clinical", "text": stage.canary(private=True)}
    notes = f"/v1/cases/{stage.ids['ada case']}/notes"
    return {*told, (must(stage.clinic.post(notes, note), 201).body["id"], 1)}


@pytest.mark.parametrize("who", SEES)
def test_a_hidden_change_of_any_row_changes_no_byte_for_who_sees_a_part(played, who: str):
    """Not even that there was a change: no version, no time, no ETag, no entry, no event."""
    _, stage = played
    before = _everything(stage, who)
    wanted = _change_what_is_hidden(stage, who)
    assert len(wanted) >= (2 if SEES[who] else 9)

    def told() -> bool:
        return wanted <= {(one["data"]["id"], one["data"]["version"]) for one in feed(stage.clinic)}

    eventually(told, "the clinic is not told of its own changes")
    after = _everything(stage, who)
    assert {door: after[door] for door in after if after[door] != before.get(door)} == {}
    assert before.keys() == after.keys()
    seen = [door for door, answer in after.items() if answer.startswith("200")]
    assert len(seen) > (20 if SEES[who] else 0)
