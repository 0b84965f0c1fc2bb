"""One trace follows a request through gateway, service, outbox, log, consumer and webhook."""

import json
from collections.abc import Iterator

import pytest

from careloop.demo import stage
from careloop.demo.checks import eventually
from careloop.demo.journey import Journey
from careloop.demo.steps import STEPS
from tests.world import Platform

# parent service → child service, declared once and proven in real traces
EDGES = {
    ("gateway", "case-svc"),
    ("gateway", "referral-svc"),
    ("gateway", "document-svc"),
    ("gateway", "notify-svc"),
    ("case-svc", "notify-svc"),
    ("case-svc", "referral-svc"),
    ("case-svc", "gateway"),
    ("referral-svc", "case-svc"),
    ("referral-svc", "notify-svc"),
    ("referral-svc", "gateway"),
    ("document-svc", "notify-svc"),
    ("gateway", "gateway"),
}


@pytest.fixture(scope="module")
def played(calm: Platform) -> Iterator[Journey]:
    with stage(calm.sandbox(), calm.data_dir) as found:
        for _who, _what, step in STEPS:
            step(found)
        yield found


def spans(platform: Platform) -> list[dict]:
    found = []
    for path in (platform.data_dir / "logs").glob("*.traces.jsonl"):
        for line in path.read_text().splitlines():
            span = json.loads(line)
            span["service"] = span["resource"]["attributes"]["service.name"]
            found.append(span)
    return found


def edges(found: list[dict]) -> set[tuple[str, str]]:
    service = {span["context"]["span_id"]: span["service"] for span in found}
    return {
        (service[span["parent_id"]], span["service"])
        for span in found
        if span["parent_id"] in service
    }


def test_every_declared_edge_is_in_a_real_trace(calm: Platform, played: Journey):
    eventually(lambda: edges(spans(calm)) >= EDGES, "an edge is missing")


def test_one_trace_goes_from_the_request_to_the_webhook(calm: Platform, played: Journey):
    def whole() -> bool:
        by_trace: dict[str, set[str]] = {}
        for span in spans(calm):
            steps = by_trace.setdefault(span["context"]["trace_id"], set())
            steps.add(f"{span['service']}:{span['name'].split()[0]}")
        return any(
            any(s.startswith("gateway:") for s in steps)
            and any(s.startswith("referral-svc:POST") for s in steps)
            and any(s.startswith("notify-svc:") and "webhook" in s for s in steps)
            for steps in by_trace.values()
        )

    eventually(whole, "no trace reaches from the gateway to a webhook")


def test_a_request_is_one_span_in_the_service_that_answers_it(calm: Platform, played: Journey):
    def during(one: dict, other: dict) -> bool:
        return other["start_time"] <= one["start_time"] < other["end_time"]

    together: dict[tuple[str, str], list[dict]] = {}
    for span in spans(calm):
        # which route is in the name; what was asked of it may name a person
        assert not span["attributes"].keys() & {"url.query", "url.full"}
        if span["kind"] == "SpanKind.SERVER" and span["parent_id"]:
            together.setdefault((span["service"], span["parent_id"]), []).append(span)
    assert together
    for found in together.values():
        assert not any(a is not b and during(a, b) for a in found for b in found)


def test_traces_and_logs_hold_no_personal_data(calm: Platform, played: Journey):
    person = played.clinic.get(f"/v1/persons/{played.person['id']}").body
    record = person["records"][0]
    secrets = {
        str(record[name])
        for name in ("family_name", "birth_date", "phone", "email")
        if record.get(name)
    }
    assert len(secrets) >= 2
    for path in (calm.data_dir / "logs").iterdir():
        text = path.read_text(errors="replace")
        assert not [secret for secret in secrets if secret in text], path.name
