"""Consents as FHIR at the door: imported, read back, refused, and what comes of them."""

import copy
import json
import secrets
from typing import Any

import httpx
from svckit.ids import new_id

from tests.fhir_consents import actor, consent, label, of_class, of_type, reason
from tests.gateway import Gateway, Partner

FHIR = "application/fhir+json"
DRAFTS = "/v1/agreements/drafts"


def person_of(gateway: Gateway, organisation_id: str) -> str:
    person_id = new_id("per")
    gateway.sql("INSERT INTO person (id, custodian_id) VALUES ($1, $2)", person_id, organisation_id)
    return person_id


def agreed(gateway: Gateway, recipient: Partner, *purposes: str, classes: list[str]) -> str:
    body = {
        "custodian_id": gateway.clinic.organisation_id,
        "recipient_id": recipient.organisation_id,
        "purposes": list(purposes),
        "classes": classes,
        "consent_classes": classes,
    }
    # by a draft whose effect was looked at: it may let somebody see more
    draft = f"/v1/agreements/drafts/{gateway.admin.post(DRAFTS, body).json()['id']}"
    seen = gateway.admin.post(f"{draft}/simulate", None).json()["digest"]
    answer = gateway.admin.post(f"{draft}/publish", {"diff": seen})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def send(by: Partner, resource: Any, *, key: str | None = None) -> httpx.Response:
    with by.http() as http:
        return http.post(
            "/v1/consents",
            content=resource if isinstance(resource, bytes) else json.dumps(resource).encode(),
            headers={
                "Content-Type": f"{FHIR}; charset=utf-8",
                "Idempotency-Key": key or secrets.token_hex(8),
            },
        )


def of(person_id: str, *provisions: dict[str, Any], rule: str = "OPTOUT") -> dict[str, Any]:
    tree = {"provision": copy.deepcopy(list(provisions))} if provisions else None
    return consent(tree, rule, patient={"reference": f"Patient/{person_id}"})


def grants_of(gateway: Gateway, consent_id: str) -> list[Any]:
    return gateway.sql("SELECT * FROM grant_ WHERE basis_id = $1 ORDER BY id", consent_id)


def test_an_imported_consent_is_kept_as_it_came_and_read_both_ways(gateway: Gateway) -> None:
    person = person_of(gateway, gateway.clinic.organisation_id)
    permit = {
        "type": "permit",
        "actor": [actor(gateway.payer.organisation_id)],
        "purpose": reason("HOPERAT"),
        "class": of_class("outcome", "financial"),
        "provision": [{"type": "deny", "class": of_class("financial")}],
    }
    sent = {**of(person, permit), "identifier": [{"system": "urn:x", "value": "7"}]}
    answer = send(gateway.clinic, sent)
    assert answer.status_code == 201, answer.text
    assert answer.headers["content-type"] == FHIR
    made = answer.json()
    assert answer.headers["location"] == f"/v1/consents/{made['id']}"
    assert {**made, "id": None, "meta": None} == {**sent, "id": None, "meta": None}
    with gateway.clinic.http(Accept=FHIR) as http:
        read = http.get(f"/v1/consents/{made['id']}")
    assert (read.headers["content-type"], read.headers["etag"]) == (FHIR, '"1"')
    assert read.json() == made
    plain = gateway.clinic.get(f"/v1/consents/{made['id']}").json()
    assert (plain["decision"], plain["decided_at"]) == ("deny", "2026-01-05T00:00:00Z")
    assert [(one["depth"], one["decision"]) for one in plain["directives"]] == [
        (0, "deny"),
        (1, "permit"),
        (2, "deny"),
    ]


def test_the_event_carries_every_directive(gateway: Gateway) -> None:
    person = person_of(gateway, gateway.clinic.organisation_id)
    permit = {"type": "permit", "securityLabel": label("R"), "class": of_class("plan")}
    made = send(gateway.clinic, of(person, permit)).json()
    (row,) = gateway.sql(
        "SELECT value FROM outbox WHERE subject = $1 "
        "UNION SELECT value FROM log_record WHERE headers->>'ce_subject' = $1",
        made["id"],
    )
    change = json.loads(row["value"])["change"]
    base, exception = change["directives"]
    assert (base["decision"], base["classes"]) == (change["decision"], change["classes"])
    assert (exception["decision"], exception["confidentiality"]) == ("permit", "R")


def test_a_nested_permit_opens_its_grant_and_the_withdrawal_ends_it(gateway: Gateway) -> None:
    agreement = agreed(gateway, gateway.payer, "HOPERAT", classes=["outcome", "financial"])
    person = person_of(gateway, gateway.clinic.organisation_id)
    permit = {
        "type": "permit",
        "actor": [actor(gateway.payer.organisation_id)],
        "purpose": reason("HOPERAT"),
        "class": of_class("outcome"),
    }
    made = send(gateway.clinic, of(person, permit)).json()
    found = [g for g in grants_of(gateway, made["id"]) if g["agreement_id"] == agreement]
    assert [json.loads(g["classes"]) for g in found] == [["outcome"]]
    assert found[0]["valid_to"] is None
    with gateway.clinic.http(Accept=FHIR) as http:
        ended = http.post(
            f"/v1/consents/{made['id']}/withdraw",
            headers={"If-Match": '"1"', "Idempotency-Key": secrets.token_hex(8)},
        )
        assert ended.status_code == 200, ended.text
        read = http.get(f"/v1/consents/{made['id']}").json()
    assert (read["status"], read["meta"]["versionId"]) == ("inactive", "2")
    assert all(g["valid_to"] is not None for g in grants_of(gateway, made["id"]))


def test_a_later_agreement_opens_what_a_nested_permit_calls_for(gateway: Gateway) -> None:
    recipient = gateway.client(gateway.organisation("payer", "Later"), "HOPERAT")
    person = person_of(gateway, gateway.clinic.organisation_id)
    permit = {
        "type": "permit",
        "actor": [actor(recipient.organisation_id)],
        "class": of_class("outcome"),
    }
    made = send(gateway.clinic, of(person, permit)).json()
    assert grants_of(gateway, made["id"]) == []
    agreed(gateway, recipient, "HOPERAT", classes=["outcome"])
    assert len(grants_of(gateway, made["id"])) == 1


def test_a_consent_that_is_not_active_decides_nothing(gateway: Gateway) -> None:
    agreed(gateway, gateway.payer, "HOPERAT", classes=["outcome"])
    person = person_of(gateway, gateway.clinic.organisation_id)
    permit = {"type": "permit", "actor": [actor(gateway.payer.organisation_id)]}
    made = send(gateway.clinic, {**of(person, permit), "status": "proposed"})
    assert made.status_code == 201, made.text
    assert made.json()["status"] == "proposed"
    assert gateway.clinic.get(f"/v1/consents/{made.json()['id']}").json()["active"] is False
    assert grants_of(gateway, made.json()["id"]) == []


def test_a_consent_of_ours_goes_out_as_fhir_and_comes_back_the_same(gateway: Gateway) -> None:
    person = person_of(gateway, gateway.clinic.organisation_id)
    body = {
        "person_id": person,
        "recipient_id": gateway.payer.organisation_id,
        "decision": "permit",
        "classes": ["outcome", "substance-use"],
        "purposes": ["HOPERAT", "TREAT"],
        "valid_to": "2031-01-01T00:00:00Z",
    }
    made = gateway.clinic.post("/v1/consents", body).json()
    with gateway.clinic.http(Accept=f"{FHIR}, application/json;q=0.5") as http:
        written = http.get(f"/v1/consents/{made['id']}").json()
    again = send(gateway.clinic, written)
    assert again.status_code == 201, again.text
    read = gateway.clinic.get(f"/v1/consents/{again.json()['id']}").json()

    def said(row: dict[str, Any]) -> list[Any]:
        return [
            {**one, "purposes": set(one["purposes"]), "classes": set(one["classes"])}
            for one in row["directives"]
        ]

    assert said(read) == said(made)
    assert read["id"] != made["id"]


def test_the_list_is_a_searchset_that_pages(gateway: Gateway) -> None:
    person = person_of(gateway, gateway.clinic.organisation_id)
    made = [send(gateway.clinic, of(person)).json()["id"] for _ in range(3)]
    with gateway.clinic.http(Accept=FHIR) as http:
        first = http.get("/v1/consents", params={"person_id": person, "limit": 2})
        assert first.headers["content-type"] == FHIR
        bundle = first.json()
        links = {each["relation"]: each["url"] for each in bundle["link"]}
        second = http.get(links["next"]).json()
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "searchset")
    assert f"<{links['next']}>" in first.headers["link"]
    found = [each["resource"]["id"] for page in (bundle, second) for each in page["entry"]]
    assert found == made[::-1]
    assert [each["relation"] for each in second["link"]] == ["self"]


def test_what_cannot_be_kept_is_refused_with_its_place_and_nothing_is_kept(
    gateway: Gateway,
) -> None:
    person = person_of(gateway, gateway.clinic.organisation_id)
    provision = {"type": "deny", "dataPeriod": {"start": "2015"}, "code": [{"text": "x"}]}
    answer = send(gateway.clinic, of(person, provision))
    assert (answer.status_code, answer.json()["code"]) == (422, "consent-inexpressible")
    assert answer.headers["content-type"] == "application/problem+json"
    assert {each["pointer"] for each in answer.json()["errors"]} == {
        "#/provision/provision/0/dataPeriod",
        "#/provision/provision/0/code",
    }
    assert gateway.sql("SELECT 1 FROM consent WHERE person_id = $1", person) == []


def test_ids_that_mean_nothing_here_are_refused_with_their_place(gateway: Gateway) -> None:
    person = person_of(gateway, gateway.clinic.organisation_id)

    def place(resource: dict[str, Any]) -> Any:
        answer = send(gateway.clinic, resource)
        assert answer.status_code == 422, answer.text
        return [each["pointer"] for each in answer.json()["errors"]]

    assert place(of(new_id("per"))) == ["#/patient"]
    foreign = person_of(gateway, gateway.payer.organisation_id)
    assert place(of(foreign)) == ["#/patient"]
    nobody = {"type": "permit", "actor": [actor(new_id("org"))]}
    assert place(of(person, nobody)) == ["#/provision/provision/0/actor/0/reference"]
    other = {"type": "permit", "actor": [actor(gateway.payer.organisation_id, "CST")]}
    assert place(of(person, other)) == ["#/provision/provision/0/actor/0/reference"]
    assert place({**of(person), "dateTime": "2099"}) == ["#/dateTime"]


def test_a_repeat_acts_once(gateway: Gateway) -> None:
    person = person_of(gateway, gateway.clinic.organisation_id)
    key = secrets.token_hex(8)
    first, again = (send(gateway.clinic, of(person), key=key) for _ in range(2))
    assert first.content == again.content
    assert again.headers["content-type"] == FHIR
    assert len(gateway.sql("SELECT 1 FROM consent WHERE person_id = $1", person)) == 1


def test_what_is_not_well_formed_is_400(gateway: Gateway) -> None:
    for body in (b"", b"[]", b"{", b'{"a": NaN}', b'{"a": 1e999}', b'{"a": "\\u0000"}'):
        answer = send(gateway.clinic, body)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed-json"), body


def test_others_do_not_find_it(gateway: Gateway) -> None:
    person = person_of(gateway, gateway.clinic.organisation_id)
    made = send(gateway.clinic, of(person, {"type": "permit", "class": of_type("Goal")})).json()
    with gateway.outsider.http(Accept=FHIR) as http:
        assert http.get(f"/v1/consents/{made['id']}").status_code == 404
        assert "entry" not in http.get("/v1/consents", params={"person_id": person}).json()


def test_whom_it_permits_something_reads_what_it_says_of_it_and_no_more(gateway: Gateway) -> None:
    recipient = gateway.client(gateway.organisation("payer", "Reader"), "HOPERAT")
    agreed(gateway, recipient, "HOPERAT", classes=["outcome"])
    person = person_of(gateway, gateway.clinic.organisation_id)

    def about(organisation: str, kind: str, *names: str) -> dict[str, Any]:
        return {"type": kind, "actor": [actor(organisation)], "class": of_class(*names)}

    pantry = gateway.pantry.organisation_id
    made = send(
        gateway.clinic,
        of(
            person,
            about(recipient.organisation_id, "permit", "outcome"),
            about(pantry, "permit", "plan"),
        ),
    ).json()
    path = f"/v1/consents/{made['id']}"
    read = recipient.get(path)
    assert read.status_code == 200, read.text
    named = {each["recipient_id"] for each in read.json()["directives"]}
    assert named == {None, recipient.organisation_id}
    assert pantry not in read.text
    assert recipient.get("/v1/consents").json()["items"] == []
    # named too, but nothing of the person is open to it; and one that nothing names
    assert gateway.pantry.get(path).status_code == 404
    assert gateway.outsider.get(path).status_code == 404
    withdrawal = {"If-Match": '"1"'}
    assert recipient.post(f"{path}/withdraw", None, **withdrawal).status_code == 404
