"""The policy of the network: drafted, looked at, published as it was seen, and taken back."""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import httpx
import pytest
import yaml
from sharing import policy
from svckit.ids import new_id

from tests.gateway import Gateway, Partner

POLICIES, IN_FORCE = "/v1/access/policies", "/v1/access/policy"
OWN: dict[str, Any] = json.loads(policy.carried().text)
# half a second on a machine of its own
WITHIN_S = 5.0


def with_line(kind: str, purpose: str, *classes: str) -> dict[str, Any]:
    """Return the release's policy with one ceiling changed."""
    found = deepcopy(OWN)
    found["ceilings"][kind][purpose] = list(classes)
    return found


def drafted(gateway: Gateway, content: dict[str, Any]) -> dict[str, Any]:
    answer = gateway.admin.post(POLICIES, content)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def simulated(gateway: Gateway, draft: dict[str, Any]) -> dict[str, Any]:
    answer = gateway.admin.post(f"{POLICIES}/{draft['id']}/simulate", None)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def publish(gateway: Gateway, draft: dict[str, Any], diff: str | None) -> httpx.Response:
    return gateway.admin.post(f"{POLICIES}/{draft['id']}/publish", {"diff": diff})


def published(gateway: Gateway, content: dict[str, Any]) -> dict[str, Any]:
    draft = drafted(gateway, content)
    answer = publish(gateway, draft, simulated(gateway, draft)["digest"])
    assert answer.status_code == 200, answer.text
    return draft


def in_force(gateway: Gateway) -> str:
    return str(gateway.clinic.get(IN_FORCE).json()["sha256"])


@pytest.fixture
def restored(gateway: Gateway) -> Iterator[None]:
    """Other tests share the gateway: leave it deciding as the release does."""
    yield
    if in_force(gateway) != policy.carried().digest():
        published(gateway, OWN)


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline, f"not within {WITHIN_S} s"
        time.sleep(0.02)


def person_seen_by(gateway: Gateway, reader: Partner, *classes: str) -> str:
    """Let a person of the clinic permit the reader the classes, under an agreement."""
    agreement = {
        "custodian_id": gateway.clinic.organisation_id,
        "recipient_id": reader.organisation_id,
        "purposes": ["COC"],
        "classes": list(classes),
        "consent_classes": [],
    }
    assert gateway.admin.post("/v1/agreements", agreement).status_code == 201
    person_id = new_id("per")
    gateway.sql("INSERT INTO person VALUES ($1, $2)", person_id, gateway.clinic.organisation_id)
    permit = {
        "person_id": person_id,
        "recipient_id": reader.organisation_id,
        "decision": "permit",
        "classes": list(classes),
        "purposes": ["COC"],
    }
    assert gateway.clinic.post("/v1/consents", permit).status_code == 201
    return person_id


@pytest.fixture
def reader(gateway: Gateway) -> Partner:
    return gateway.client(gateway.organisation("social-service", "Reader"), "COC")


def test_until_one_is_published_the_policy_of_the_release_is_in_force(gateway: Gateway) -> None:
    if gateway.sql("SELECT count(*) FROM policy_publication")[0][0]:
        pytest.skip("this database knows a publication already")
    found = gateway.clinic.get(IN_FORCE).json()
    assert (found["sha256"], found["publication"]) == (policy.carried().digest(), None)
    assert found["content"] == OWN
    assert gateway.clinic.get(f"{IN_FORCE}/versions").json()["items"] == []


def test_yaml_and_json_that_say_the_same_are_the_same_version(gateway: Gateway) -> None:
    before = in_force(gateway)
    content = with_line("payer", "HOPERAT", "outcome", "financial")
    of_json = drafted(gateway, content)
    headers = {"Idempotency-Key": secrets.token_hex(8), "Content-Type": "application/yaml"}
    with gateway.admin.http(**headers) as http:
        of_yaml = http.post(POLICIES, content=yaml.safe_dump(content)).json()
    assert of_yaml["sha256"] == of_json["sha256"] == policy.read(content).digest()
    assert of_yaml["id"] != of_json["id"]
    assert gateway.admin.get(f"{POLICIES}/{of_json['id']}").json() == of_json
    listed = [one["id"] for one in gateway.admin.get(POLICIES, limit=2).json()["items"]]
    assert listed == [of_yaml["id"], of_json["id"]]
    assert in_force(gateway) == before, "a draft has no effect"


LIMIT = {"name": "notes by consent", "classes": ["notes"]}


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"forever": True}, "#/forever", "extra-forbidden"),
        ({"version": 2}, "#/version", "literal-error"),
        ({"ceilings": {"payer": {"HPAYMT": ["outcome", "shoes"]}}}, "", "unknown-class"),
        ({"ceilings": {"payer": {"FUN": ["outcome"]}}}, "#/ceilings/payer/FUN", "unknown-purpose"),
        ({"ceilings": {"hospital": {}}}, "#/ceilings/hospital", "literal-error"),
        ({"always_by_consent": ["substance-use", 7]}, "#/always_by_consent/1", "unknown-class"),
        ({"always_by_consent": ["notes"]}, "#/always_by_consent", "bound-by-law"),
        ({"labels": {**OWN["labels"], "SDV": []}}, "#/labels", "bound-to-release"),
        ({"other_labels": []}, "#/other_labels", "bound-to-release"),
        (
            {"limits": [{**LIMIT, "only_when": {"not": {"under": "TREAT"}}}]},
            "#/limits/0/only_when/not",
            "outside-algebra",
        ),
        (
            {"limits": [{**LIMIT, "only_when": {"all": [{"equal": ["grant.x", "row.id"]}]}}]},
            "#/limits/0/only_when/all/0/equal/0",
            "outside-algebra",
        ),
        (
            {"limits": [{**LIMIT, "only_when": {"under": "TREAT"}, "sql": "1 = 1"}]},
            "#/limits/0/sql",
            "extra-forbidden",
        ),
    ],
)
def test_a_wrong_policy_is_refused_with_the_place_and_nothing_is_kept(
    gateway: Gateway, change: dict[str, Any], pointer: str, code: str
) -> None:
    kept = gateway.sql("SELECT count(*) FROM policy")
    answer = gateway.admin.post(POLICIES, {**OWN, **change})
    assert answer.status_code == 422, answer.text
    places = {fault["pointer"]: fault["code"] for fault in answer.json()["errors"]}
    assert places[pointer or "#/ceilings/payer/HPAYMT/1"] == code
    assert gateway.sql("SELECT count(*) FROM policy") == kept


@pytest.mark.usefixtures("restored")
def test_what_widens_is_published_only_with_the_difference_that_was_seen(
    gateway: Gateway, reader: Partner
) -> None:
    person_id = person_seen_by(gateway, reader, "identity", "clinical")
    before = in_force(gateway)
    classes = [*OWN["ceilings"]["social-service"]["COC"], "clinical"]
    draft = drafted(gateway, with_line("social-service", "COC", *classes))
    found = simulated(gateway, draft)
    assert found["widens"] is True
    (gain,) = [g for g in found["gains"] if g["recipient_id"] == reader.organisation_id]
    assert gain["classes"] == {"clinical": 1}
    assert gain["sample"][0]["person_id"] == person_id
    may = [one for one in found["may"] if one["because"] == "ceiling"]
    assert [(one["kind"], one["purpose"], one["gains"]) for one in may] == [
        ("social-service", "COC", ["clinical"])
    ]
    for seen, code in ((None, "diff-required"), ("0" * 64, "diff-changed")):
        refused = publish(gateway, draft, seen)
        assert (refused.status_code, refused.json()["code"]) == (409, code)
        assert in_force(gateway) == before
    explained = {"person_id": person_id, "recipient_id": reader.organisation_id, "purpose": "COC"}
    seen_by = gateway.clinic.get("/v1/access/explain", **explained).json()
    assert seen_by["classes"] == ["identity"]

    made = publish(gateway, draft, found["digest"])
    assert made.status_code == 200, made.text
    stands = gateway.clinic.get(IN_FORCE).json()
    assert (stands["sha256"], stands["content"]) == (draft["sha256"], draft["content"])
    assert stands["publication"]["published_by"] == gateway.admin.client_id
    assert stands["publication"]["diff"]["digest"] == found["digest"]
    eventually(
        lambda: (
            gateway.clinic.get("/v1/access/explain", **explained).json()["classes"]
            == ["identity", "clinical"]
        )
    )
    why = gateway.clinic.get("/v1/access/explain", **explained).json()["reasons"]
    assert why["policy"] == draft["sha256"]


@pytest.mark.usefixtures("restored")
def test_a_token_is_refused_for_a_purpose_that_the_policy_no_longer_gives(gateway: Gateway) -> None:
    assert gateway.payer.ask().status_code == 200
    content = deepcopy(OWN)
    del content["ceilings"]["payer"]["HOPERAT"]
    published(gateway, content)
    eventually(lambda: gateway.payer.ask().status_code == 400)
    published(gateway, OWN)
    eventually(lambda: gateway.payer.ask().status_code == 200)


@pytest.mark.usefixtures("restored")
def test_a_difference_that_is_no_longer_the_one_seen_is_refused(
    gateway: Gateway, reader: Partner
) -> None:
    draft = drafted(gateway, with_line("social-service", "COC", "identity"))
    seen = simulated(gateway, draft)["digest"]
    person_seen_by(gateway, reader, "identity", "plan")
    refused = publish(gateway, draft, seen)
    assert (refused.status_code, refused.json()["code"]) == (409, "diff-changed")
    seen = simulated(gateway, draft)["digest"]
    published(gateway, with_line("clinic", "TREAT", "identity"))
    refused = publish(gateway, draft, seen)
    assert (refused.status_code, refused.json()["code"]) == (409, "diff-changed")


@pytest.mark.usefixtures("restored")
def test_an_older_policy_is_published_again_the_same_way(gateway: Gateway) -> None:
    first = published(gateway, with_line("payer", "HOPERAT", "outcome", "needs"))
    published(gateway, with_line("payer", "HOPERAT", "outcome"))
    refused = publish(gateway, first, None)
    assert (refused.status_code, refused.json()["code"]) == (409, "diff-required")
    back = publish(gateway, first, simulated(gateway, first)["digest"]).json()
    assert in_force(gateway) == first["sha256"]
    again = publish(gateway, first, back["diff"]["digest"])
    assert (again.status_code, again.json()["code"]) == (409, "policy-in-force")
    page = gateway.clinic.get(f"{IN_FORCE}/versions", limit=2).json()
    assert [one["number"] for one in page["items"]] == [back["number"], back["number"] - 1]
    after = gateway.clinic.get(f"{IN_FORCE}/versions", limit=2, cursor=page["next"]).json()
    assert after["items"][0]["policy_id"] == first["id"]
    audited = gateway.sql(
        "SELECT version FROM audit WHERE action = 'policy.publish' AND resource = $1", first["id"]
    )
    assert sorted(row[0] for row in audited) == [back["number"] - 2, back["number"]]


def test_publishing_is_the_operators_and_reading_everybodys(gateway: Gateway) -> None:
    draft = drafted(gateway, with_line("payer", "HOPERAT", "outcome", "plan"))
    digest = simulated(gateway, draft)["digest"]
    owner = gateway.admin.organisation_id
    merely = gateway.client(owner, "COC", scopes="admin sharing.read")
    for partner in (gateway.clinic, merely):
        refused = partner.post(f"{POLICIES}/{draft['id']}/publish", {"diff": digest})
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient-scope")
        assert partner.get(IN_FORCE).status_code == 200
    assert gateway.clinic.post(POLICIES, OWN).status_code == 403
    assert gateway.clinic.get(f"{POLICIES}/{draft['id']}").status_code == 403
    assert gateway.clinic.post(f"{POLICIES}/{draft['id']}/simulate", None).status_code == 403
    refused = gateway.admin.post(
        "/v1/clients",
        {
            "organisation_id": gateway.clinic.organisation_id,
            "name": "too much",
            "jwks": {"keys": []},
            "scopes": ["policy.publish"],
            "purposes": ["TREAT"],
        },
    )
    assert refused.status_code == 422
    missing = gateway.admin.post(f"{POLICIES}/{new_id('pol')}/publish", {"diff": digest})
    assert missing.status_code == 404
