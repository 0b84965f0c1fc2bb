"""What the gateway enters into the ledger before an answer leaves, and that it refuses else."""

import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from gateway.consumer import HANDLERS
from gateway.ledger import webhooks
from svckit import contracts, testing
from svckit.clock import now
from svckit.cloudevents import Received
from svckit.db import Database
from svckit.disclosure import Disclosed, encode
from svckit.ids import new_id
from svckit.merkle import leaf_hash

from tests import gateway as kit
from tests.gateway import Gateway, Partner
from tests.service.gateway.test_resources import agreement, person_of


def told(*found: Disclosed) -> str:
    (line,) = encode(found)
    return line.decode()


def read(partner: Partner, *found: Disclosed, status: int = 200) -> Any:
    return partner.get("/v1/cases/discloses", told=told(*found), status=str(status))


def entries(gateway: Gateway, person_id: str) -> list[dict[str, Any]]:
    rows = gateway.sql("SELECT body FROM ledger_entry WHERE person_id = $1 ORDER BY id", person_id)
    return [json.loads(row["body"]) for row in rows]


def test_an_answer_about_another_organisations_person_is_entered(gateway: Gateway) -> None:
    owner, person = gateway.clinic.organisation_id, new_id("per")
    started = time.time()
    answer = read(gateway.payer, Disclosed("case", owner, person, 2048 | 4, rows=3))
    assert (answer.status_code, answer.text) == (200, "ok")
    assert "careloop-disclosed" not in answer.headers
    (entry,) = entries(gateway, person)
    assert entry["outcome"] == "disclosed"
    assert entry["organisation"] == gateway.payer.organisation_id
    assert entry["client"] == entry["actor"] == gateway.payer.client_id
    assert (entry["custodian"], entry["person"]) == (owner, person)
    assert entry["classes"] == ["coordination", "outcome"]
    assert (entry["purpose"], entry["kind"], entry["rows"]) == ("HOPERAT", "case", 3)
    assert (entry["channel"], entry["method"], entry["status"]) == ("api", "GET", 200)
    assert len(entry["trace"]) == 32
    assert entry["at"][:10] == time.strftime("%Y-%m-%d", time.gmtime(started))


def test_the_entry_names_the_grants_and_permits_it_rests_on_with_their_versions(
    gateway: Gateway,
) -> None:
    owner = gateway.clinic.organisation_id
    person = person_of(gateway, owner)
    terms = agreement(gateway, consent_classes=["outcome"], legal_basis="45 CFR 164.508")
    consent = gateway.clinic.post(
        "/v1/consents",
        {
            "person_id": person,
            "recipient_id": gateway.payer.organisation_id,
            "decision": "permit",
            "classes": ["outcome"],
            "purposes": ["HOPERAT"],
        },
    ).json()
    read(gateway.payer, Disclosed("case", owner, person, 2048))
    (entry,) = entries(gateway, person)
    (grant,) = (each for each in entry["grants"] if each["agreement"] == terms["id"])
    assert grant["because"] == "consent"
    assert grant["id"].startswith("grt_")
    assert (grant["version"], grant["classes"]) == (1, ["outcome"])
    assert (grant["agreement"], grant["agreement_version"]) == (terms["id"], terms["version"])
    assert grant["legal_basis"] == "45 CFR 164.508"
    (permit,) = entry["consents"]
    assert (permit["id"], permit["version"]) == (consent["id"], consent["version"])
    assert permit["general"] is False


def test_a_grant_that_opened_a_moment_ago_is_named(gateway: Gateway) -> None:
    owner = gateway.clinic.organisation_id
    person = person_of(gateway, owner)
    agreement(gateway)
    read(gateway.payer, Disclosed("case", owner, person, 2048))
    body = {
        "person_id": person,
        "recipient_id": gateway.payer.organisation_id,
        "classes": ["outcome"],
    }
    gateway.clinic.post("/v1/consents", {**body, "decision": "permit", "purposes": ["HOPERAT"]})
    read(gateway.payer, Disclosed("case", owner, person, 2048))
    before, after = entries(gateway, person)
    assert (before["grants"], before["consents"]) == ([], [])
    opened = gateway.payer.get("/v1/grants", person_id=person).json()["items"]
    assert {each["id"] for each in after["grants"]} == {each["id"] for each in opened} != set()
    assert len(after["consents"]) == 1


def test_ones_own_persons_and_answers_about_nobody_are_no_entries(gateway: Gateway) -> None:
    person = new_id("per")
    before = gateway.sql("SELECT count(*) FROM ledger_entry")[0][0]
    read(gateway.clinic, Disclosed("case", gateway.clinic.organisation_id, person, 4))
    gateway.clinic.get("/v1/cases")
    assert gateway.sql("SELECT count(*) FROM ledger_entry")[0][0] == before


def test_a_page_of_200_rows_is_entered_person_by_person(gateway: Gateway) -> None:
    owner, people = gateway.clinic.organisation_id, [new_id("per") for _ in range(200)]
    lines = encode(Disclosed("case", owner, each, 4) for each in people)
    answer = gateway.payer.get("/v1/cases/discloses", told=b", ".join(lines).decode())
    assert answer.status_code == 200
    found = gateway.sql("SELECT id FROM ledger_entry WHERE person_id = ANY($1)", people)
    assert len({row["id"] for row in found}) == 200


def test_a_refusal_by_a_service_is_entered_and_tells_the_caller_nothing(gateway: Gateway) -> None:
    owner, person = gateway.clinic.organisation_id, new_id("per")
    answer = read(gateway.outsider, Disclosed("case", owner, person, 0, denied=True), status=404)
    assert (answer.status_code, answer.text) == (404, "ok")
    assert "careloop-disclosed" not in answer.headers
    (entry,) = entries(gateway, person)
    assert (entry["outcome"], entry["status"]) == ("denied", 404)
    assert (entry["classes"], entry["grants"]) == ([], [])


def test_a_refused_scope_is_entered(gateway: Gateway) -> None:
    organisation = gateway.organisation("clinic", "Narrow")
    narrow = gateway.client(organisation, "TREAT", scopes="cases.read")
    assert narrow.get("/v1/documents").status_code == 403
    (row,) = gateway.sql("SELECT body FROM ledger_entry WHERE organisation_id = $1", organisation)
    entry = json.loads(row["body"])
    assert (entry["outcome"], entry["status"], entry["custodian"]) == ("denied", 403, None)


def test_reading_anothers_consents_over_our_own_routes_is_entered(gateway: Gateway) -> None:
    owner = gateway.clinic.organisation_id
    person = person_of(gateway, owner)
    agreement(gateway)
    body = {
        "person_id": person,
        "recipient_id": gateway.payer.organisation_id,
        "classes": ["outcome"],
    }
    gateway.clinic.post("/v1/consents", {**body, "decision": "permit", "purposes": ["HOPERAT"]})
    assert entries(gateway, person) == []
    answer = gateway.payer.get("/v1/grants", person_id=person)
    assert answer.json()["items"]
    assert "careloop-disclosed" not in answer.headers
    (entry,) = entries(gateway, person)
    assert (entry["kind"], entry["custodian"]) == ("grant", owner)
    assert entry["rows"] == len(answer.json()["items"])


@pytest.mark.parametrize("header", ["gibberish", "case|org_1|4|a*b", "case|org_1|zz|a", ""])
def test_an_answer_whose_notes_cannot_be_read_does_not_leave(gateway: Gateway, header: str) -> None:
    answer = gateway.payer.get("/v1/cases/discloses", told=header or "|")
    assert answer.status_code == 503
    assert "ok" not in answer.text


def test_without_the_ledger_nothing_is_disclosed(
    database_for: Callable[[str], str], tmp_path: Path
) -> None:
    with kit.running(database_for("gateway"), tmp_path) as gateway:
        payer = gateway.client(gateway.organisation("payer", "Meridian"), "HOPERAT")
        told_of = Disclosed("case", new_id("org"), new_id("per"), 2048)
        assert read(payer, told_of).status_code == 200
        gateway.sql("ALTER TABLE ledger_entry RENAME TO elsewhere")
        answer = read(payer, told_of)
        assert (answer.status_code, answer.json()["code"]) == (503, "ledger-unavailable")
        assert answer.headers["retry-after"]
        grants = payer.get("/v1/grants")
        assert grants.status_code == 200, "what discloses nothing is answered all the same"
        gateway.sql("ALTER TABLE elsewhere RENAME TO ledger_entry")
        assert read(payer, told_of).status_code == 200
        rows = gateway.sql("SELECT count(*), count(DISTINCT substr(id, 1, 20)) FROM ledger_entry")
        assert tuple(rows[0]) == (2, 2), "a failure ends the segment"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_entry SET person_id = NULL",
        "DELETE FROM ledger_entry",
        "TRUNCATE ledger_entry",
        "DELETE FROM ledger_period",
        "UPDATE ledger_range SET last = last",
        "DELETE FROM ledger_segment",
    ],
)
def test_the_ledger_is_never_changed_not_even_by_its_owner(
    gateway: Gateway, statement: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never changed"):
        gateway.sql(statement)


def test_the_custodian_gets_the_three_reports_about_its_person(gateway: Gateway) -> None:
    owner, person = gateway.clinic.organisation_id, new_id("per")
    for classes in (4, 2048, 4 | 2048):
        read(gateway.payer, Disclosed("case", owner, person, classes))
    read(gateway.pantry, Disclosed("case", owner, person, 4))
    read(gateway.outsider, Disclosed("case", owner, person, 0, denied=True), status=404)

    def report(partner: Partner, name: str) -> Any:
        return partner.get(f"/v1/ledger/reports/{name}", person_id=person).json()

    accounting = report(gateway.clinic, "accounting")
    assert accounting["disclosures"] == []
    assert [(d["recipient"]["id"], d["number"]) for d in accounting["exempt"]] == [
        (gateway.payer.organisation_id, 3),
        (gateway.pantry.organisation_id, 1),
    ]
    own = report(gateway.clinic, "person")["lines"]
    assert [(line["outcome"], line["times"]) for line in own] == [
        ("disclosed", 3),
        ("disclosed", 1),
        ("denied", 1),
    ]
    assert own[0]["text"].count("Meridian") == 1
    assert report(gateway.clinic, "intermediary")["recipients"] == []
    assert report(gateway.pantry, "accounting")["exempt"] == [], "another's person"
    assert report(gateway.admin, "person")["lines"] == []


def test_a_report_reaches_six_years_back_and_no_further(gateway: Gateway) -> None:
    owner, person = gateway.clinic.organisation_id, new_id("per")
    read(gateway.payer, Disclosed("case", owner, person, 4))
    at = gateway.sql("SELECT at FROM ledger_entry WHERE person_id = $1", person)[0]["at"]

    def counted(name: str, years: int, days: int) -> int:
        as_of = at.replace(year=at.year + years) + timedelta(days=days)
        path = f"/v1/ledger/reports/{name}"
        found = gateway.clinic.get(path, person_id=person, as_of=as_of.isoformat()).json()
        return len(found["exempt"])

    assert counted("accounting", 6, -1) == 1
    assert counted("accounting", 6, 1) == 0
    assert counted("accounting", 0, -1) == 0


def test_a_purpose_or_scope_refused_with_the_token_is_entered(gateway: Gateway) -> None:
    organisation = gateway.organisation("clinic", "Bold")
    bold = gateway.client(organisation, "TREAT", scopes="cases.read")
    details = json.dumps([{"type": "careloop_purpose", "purpose": "BTG"}])
    assert bold.ask(authorization_details=details).status_code == 400
    assert bold.ask(scope="cases.read admin").status_code == 400
    assert bold.ask().status_code == 200
    query = "SELECT body FROM ledger_entry WHERE organisation_id = $1"
    found = [json.loads(row["body"]) for row in gateway.sql(query, organisation)]
    assert [(e["outcome"], e["channel"], e["kind"], e["client"]) for e in found] == [
        ("denied", "token", "token", bold.client_id)
    ] * 2


def test_webhooks_are_entered_from_their_event_in_a_chain_of_their_own(gateway: Gateway) -> None:
    owner, people = gateway.clinic.organisation_id, [new_id("per") for _ in range(3)]
    for person in people:
        _disclosure_made(gateway, owner, person)
    rows = [entries(gateway, person) for person in people]
    assert [len(found) for found in rows] == [1, 1, 1]
    first, second, third = (found[0] for found in rows)
    assert second["prev"] == leaf_hash(_body(gateway, first["id"])).hex()
    assert third["prev"] == leaf_hash(_body(gateway, second["id"])).hex()
    assert (first["channel"], first["outcome"]) == ("webhook", "disclosed")
    assert first["organisation"] == gateway.payer.organisation_id
    assert (first["client"][:4], first["actor"][:4]) == ("whe_", "att_")
    assert first["classes"] == ["outcome"]


def _body(gateway: Gateway, entry_id: str) -> bytes:
    (row,) = gateway.sql("SELECT body FROM ledger_entry WHERE id = $1", entry_id)
    return bytes(row["body"].encode())


def test_mails_are_entered_in_the_same_chain_and_accounted_for(gateway: Gateway) -> None:
    owner, person = gateway.clinic.organisation_id, new_id("per")
    _disclosure_made(gateway, owner, person)
    mailbox = new_id("mbx")
    told = {"mail_id": new_id("mal"), "mailbox_id": mailbox}
    _told(gateway, owner, person, webhooks.MAILED, told)
    hook, mail = entries(gateway, person)
    assert mail["prev"] == leaf_hash(_body(gateway, hook["id"])).hex()
    assert (mail["channel"], mail["outcome"], mail["kind"]) == ("e-mail", "disclosed", "event")
    assert (mail["client"], mail["actor"][:4]) == (mailbox, "att_")
    assert (mail["organisation"], mail["purpose"]) == (gateway.payer.organisation_id, "HOPERAT")
    assert mail["classes"] == hook["classes"] == ["outcome"]

    def report(name: str) -> Any:
        return gateway.clinic.get(f"/v1/ledger/reports/{name}", person_id=person).json()

    (counted,) = report("accounting")["exempt"]
    assert (counted["recipient"]["id"], counted["number"]) == (gateway.payer.organisation_id, 2)
    assert [line["times"] for line in report("person")["lines"]] == [2]


def _disclosure_made(gateway: Gateway, custodian_id: str, person_id: str) -> None:
    told = {"delivery_id": new_id("dlv"), "endpoint_id": new_id("whe")}
    _told(gateway, custodian_id, person_id, webhooks.KIND, told)


def _told(
    gateway: Gateway, custodian_id: str, person_id: str, kind: str, told: dict[str, str]
) -> None:
    item = {
        "attempt_id": new_id("att"),
        "organisation_id": gateway.payer.organisation_id,
        "purpose": "HOPERAT",
        "person_id": person_id,
        "classes": ["outcome"],
        **told,
    }
    found = new_id("dsc")
    data = {
        "id": found,
        "version": 1,
        "custodian_id": custodian_id,
        "href": "/v1/inbox" if kind == webhooks.MAILED else "/v1/deliveries",
        "person_id": None,
        "case_id": None,
        "parties": [],
        "classes": [],
        "change": {"policy": "0" * 64, "items": [item]},
    }
    assert contracts.schema_of(kind).fault(data) is None
    received = Received(
        id=new_id("evt"),
        type=kind,
        source="careloop/notify-svc",
        subject=found,
        version=1,
        key=custodian_id,
        time=now(),
        data=data,
    )

    async def run() -> None:
        db = Database(gateway.database_url, 2)
        async with db.begin() as tx:
            await HANDLERS[received.type](tx, received)
        await db.dispose()

    testing.apart(run())
