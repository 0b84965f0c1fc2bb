"""One row explained by its id: what its service says of it, decided as the service decides."""

import base64
import json
from typing import Any

import pytest
from sharing.described import Described, Way, Within
from svckit.ids import new_id

from tests.gateway import Gateway, Partner
from tests.service.gateway.test_explain import EXPLAIN, agree, case_of, decide, person_of, why

WHO = f"{EXPLAIN}/who"


@pytest.fixture(scope="module")
def helper(gateway: Gateway) -> Partner:
    found = gateway.client(gateway.organisation("social-service", "Row helper"), "COC")
    agree(gateway, found, classes=["identity", "coordination", "needs", "plan", "notes"])
    return found


class Kept:
    """Rows about one person in one case of the clinic, as the services describe them."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.clinic = gateway.clinic.organisation_id
        self.person = person_of(gateway)
        self.case = case_of(gateway, self.person)

    def row(self, prefix: str, resource: str, required: list[str], **changes: Any) -> str:
        within = Within(
            case_id=self.case,
            custodian_id=self.clinic,
            confidentiality="N",
            filed=("coordination", "notes"),
        )
        found = Described(
            **{
                "resource": resource,
                "custodian_id": self.clinic,
                "person_id": self.person,
                "required": tuple(required),
                "confidentiality": "N",
                "ways": (Way(case_id=self.case),),
                "within": within if prefix not in ("doc", "ref") else None,
                **changes,
            }
        )
        row_id = new_id(prefix)
        body = found.model_dump_json().encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._gateway.upstream.scripted[row_id.encode()] = head % len(body) + body
        return row_id


@pytest.fixture
def kept(gateway: Gateway) -> Kept:
    return Kept(gateway)


def test_a_note_is_explained_by_its_id(gateway: Gateway, helper: Partner, kept: Kept) -> None:
    plain = kept.row("not", "note", ["notes"])
    clinical = kept.row("not", "note", ["notes", "clinical"])
    decide(gateway, kept.person, helper, classes=["coordination", "notes", "identity"])
    asked = {"recipient_id": helper.organisation_id}
    found = why(gateway.clinic, row_id=plain, **asked)
    assert (found["visible"], found["outcome"], found["resource"]) == (True, "granted", "note")
    assert (found["row_id"], found["case_id"]) == (plain, kept.case)
    assert "text" in found["fields"]
    assert found["reasons"]["grants"][0]["held"] is True
    found = why(gateway.clinic, row_id=clinical, **asked)
    assert (found["visible"], found["outcome"], found["fields"]) == (False, "not-enough", [])
    assert "text" in found["hidden_fields"]
    own = why(helper, row_id=plain)
    assert (own["visible"], own["reasons"], own["hidden_fields"]) == (True, None, None)


def test_who_sees_a_row_is_told_to_its_custodian(
    gateway: Gateway, helper: Partner, kept: Kept
) -> None:
    row = kept.row("not", "note", ["notes"])
    decide(gateway, kept.person, helper, classes=["coordination", "notes"])
    for by in (gateway.clinic, gateway.admin):
        found = by.get(WHO, row_id=row).json()
        seen = {(one["organisation_id"], one["purpose"]) for one in found["seen_by"]}
        assert seen == {(kept.clinic, ""), (helper.organisation_id, "COC")}
        assert found["row_id"] == row
    assert helper.get(WHO, row_id=row).status_code == 404


def test_a_row_that_is_hidden_answers_as_one_that_is_not_there(
    gateway: Gateway, helper: Partner, kept: Kept
) -> None:
    hidden, absent = kept.row("nee", "need", ["needs"]), new_id("nee")
    gateway.upstream.scripted[absent.encode()] = (
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    )
    bodies = []
    for row in (hidden, absent):
        answer = helper.get(EXPLAIN, row_id=row)
        assert answer.status_code == 404
        bodies.append({k: v for k, v in answer.json().items() if k != "trace_id"})
    assert bodies[0] == bodies[1]
    of_another = {"row_id": hidden, "recipient_id": gateway.payer.organisation_id}
    assert helper.get(EXPLAIN, **of_another).status_code == 404


def test_what_was_filed_in_a_case_its_custodian_sees(
    gateway: Gateway, helper: Partner, kept: Kept
) -> None:
    filed = kept.row("not", "note", ["notes"], custodian_id=helper.organisation_id)
    labelled = kept.row("not", "note", ["notes", "safety"], custodian_id=helper.organisation_id)
    found = why(gateway.clinic, row_id=filed)
    assert (found["visible"], found["outcome"], found["reasons"]) == (True, "filed", None)
    assert gateway.clinic.get(EXPLAIN, row_id=labelled).status_code == 404
    found = why(helper, row_id=labelled, recipient_id=kept.clinic)
    assert (found["visible"], found["outcome"]) == (False, "no-grant")
    seen = {one["organisation_id"] for one in helper.get(WHO, row_id=filed).json()["seen_by"]}
    assert seen == {helper.organisation_id, kept.clinic}


def test_a_row_in_a_case_that_is_not_seen_is_not_seen(
    gateway: Gateway, helper: Partner, kept: Kept
) -> None:
    row = kept.row("nee", "need", ["needs"])
    decide(gateway, kept.person, helper, classes=["needs"])
    found = why(gateway.clinic, row_id=row, recipient_id=helper.organisation_id)
    assert (found["visible"], found["outcome"]) == (False, "case-hidden")
    decide(gateway, kept.person, helper, classes=["needs", "coordination"])
    assert why(gateway.clinic, row_id=row, recipient_id=helper.organisation_id)["visible"]


def test_a_document_is_seen_by_what_it_is_attached_to(
    gateway: Gateway, helper: Partner, kept: Kept
) -> None:
    other = case_of(gateway, kept.person)
    refused = Way(case_id=kept.case, referral_id=new_id("ref"), only=(kept.clinic,))
    decide(gateway, kept.person, helper, classes=["plan", "coordination"])
    asked = {"recipient_id": helper.organisation_id}
    outcomes = {}
    for name, changes in {
        "attached": {},
        "of others": {"ways": (refused,)},
        "both": {"ways": (refused, Way(case_id=other))},
        "empty": {"shared": False},
        "restricted": {"confidentiality": "R"},
    }.items():
        row = kept.row("doc", "document", ["plan"], **changes)
        found = why(gateway.clinic, row_id=row, **asked)
        outcomes[name] = (found["visible"], found["outcome"], "title" in found["fields"])
        assert why(gateway.clinic, row_id=row)["outcome"] == "custodian"
    assert outcomes == {
        "attached": (True, "granted", True),
        "of others": (False, "not-a-party", False),
        "both": (True, "granted", True),
        "empty": (False, "not-shared", False),
        "restricted": (False, "no-grant", False),
    }


def test_people_of_a_case_are_explained_by_their_ids(
    gateway: Gateway, helper: Partner, kept: Kept
) -> None:
    decide(gateway, kept.person, helper, classes=["coordination"])
    for resource, field in (("care-team", "organisation_id"), ("party", "role")):
        row = kept.row("ptm", resource, ["coordination"])
        found = why(gateway.clinic, row_id=row, recipient_id=helper.organisation_id)
        assert (found["visible"], found["resource"]) == (True, resource)
        assert field in found["fields"]
    assert "name" in found["hidden_fields"]


def test_a_message_is_for_both_sides_of_its_referral(
    gateway: Gateway, helper: Partner, kept: Kept
) -> None:
    ways = (Way(case_id=kept.case, referral_id=new_id("ref")),)
    required = ["coordination", "notes"]
    sides = (kept.clinic, helper.organisation_id)
    row = kept.row("msg", "message", required, ways=ways, parties=sides, within=None)
    found = why(helper, row_id=row)
    assert (found["visible"], found["outcome"], found["resource"]) == (True, "party", "message")
    assert "text" in found["fields"]
    other = kept.row("msg", "message", required, ways=ways, parties=sides[:1], within=None)
    assert helper.get(EXPLAIN, row_id=other).status_code == 404


def test_both_sides_see_a_referral(gateway: Gateway, helper: Partner, kept: Kept) -> None:
    ways = (Way(case_id=kept.case, referral_id=new_id("ref")),)
    sides = (kept.clinic, helper.organisation_id)
    row = kept.row("ref", "referral", [], ways=ways, parties=sides)
    found = why(helper, row_id=row)
    assert (found["visible"], found["outcome"]) == (True, "party")
    assert "reason" in found["fields"]
    assert gateway.outsider.get(EXPLAIN, row_id=row).status_code == 404
    seen = gateway.clinic.get(WHO, row_id=row).json()["seen_by"]
    assert {(one["organisation_id"], one["purpose"]) for one in seen} == {(s, "") for s in sides}


def test_the_service_is_asked_in_the_gateways_own_name(gateway: Gateway, kept: Kept) -> None:
    row = kept.row("tsk", "task", ["coordination"])
    why(gateway.clinic, row_id=row)
    asked = gateway.upstream.last
    assert asked.line == f"GET /internal/rows/{row} HTTP/1.1".encode()
    value = asked.header(b"authorization")
    assert value is not None
    claims = json.loads(base64.urlsafe_b64decode(value.split(b".")[1] + b"=="))
    assert (claims["org"], claims["scope"], claims["aud"]) == ("", "internal.describe", "case-svc")
    assert claims["exp"] - claims["iat"] <= 60


def test_a_service_that_is_away_is_said_to_be(gateway: Gateway) -> None:
    row = new_id("doc")
    gateway.upstream.scripted[row.encode()] = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
    answer = gateway.clinic.get(EXPLAIN, row_id=row)
    assert (answer.status_code, answer.json()["code"]) == (503, "upstream-unavailable")


def test_a_wrong_question_is_refused_with_its_places(gateway: Gateway, kept: Kept) -> None:
    row = kept.row("not", "note", ["notes"])
    for wrong, pointer in (
        ({"row_id": new_id("org")}, "#/query/row_id"),
        ({"row_id": row, "case_id": kept.case}, "#/query/case_id"),
        ({"row_id": row, "labels": ["SUD"]}, "#/query/labels"),
        ({"row_id": "not_"}, "#/query/row_id"),
    ):
        for path in (EXPLAIN, WHO):
            answer = gateway.clinic.get(path, **wrong)
            assert answer.status_code == 422, answer.text
            assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]
    assert gateway.clinic.get(f"/internal/rows/{row}").status_code == 404
