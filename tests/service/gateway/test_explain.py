"""Explain, preview, simulate at the gateway: told to whom, and the same as what then happens."""

from pathlib import Path
from typing import Any

import pytest
from sharing import policy
from svckit.ids import new_id

from tests.gateway import Gateway, Partner

POLICY = Path(policy.__file__).with_name("policy.yaml").read_text(encoding="utf-8")
EXPLAIN, PREVIEW, SIMULATE = (f"/v1/access/{name}" for name in ("explain", "preview", "simulate"))


@pytest.fixture(scope="module")
def helper(gateway: Gateway) -> Partner:
    """A social service with an agreement: it helps, and knows who only with the person's permit."""
    found = gateway.client(gateway.organisation("social-service", "Helper"), "COC")
    agree(gateway, found)
    return found


def agree(gateway: Gateway, recipient: Partner, **changes: Any) -> str:
    body = {
        "custodian_id": gateway.clinic.organisation_id,
        "recipient_id": recipient.organisation_id,
        "purposes": ["COC"],
        "classes": ["identity", "contact", "coordination", "needs", "plan"],
        "consent_classes": ["identity"],
        **changes,
    }
    seen = gateway.admin.post(SIMULATE, {"agreement": body}).json()
    answer = gateway.admin.post("/v1/agreements", {**body, "diff": seen["digest"]})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def person_of(gateway: Gateway) -> str:
    person_id = new_id("per")
    gateway.sql("INSERT INTO person VALUES ($1, $2)", person_id, gateway.clinic.organisation_id)
    return person_id


def case_of(gateway: Gateway, person_id: str, *, sealed: bool = False) -> str:
    case_id = new_id("cas")
    gateway.sql(
        "INSERT INTO case_file VALUES ($1, $2, $3, CASE WHEN $4 THEN now() END)",
        *(case_id, gateway.clinic.organisation_id, person_id, sealed),
    )
    return case_id


def decide(gateway: Gateway, person_id: str, recipient: Partner, **changes: Any) -> str:
    body = {
        "person_id": person_id,
        "recipient_id": recipient.organisation_id,
        "decision": "permit",
        "classes": ["identity", "coordination"],
        "purposes": ["COC"],
        **changes,
    }
    answer = gateway.clinic.post("/v1/consents", body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def why(by: Partner, **params: Any) -> dict[str, Any]:
    answer = by.get(EXPLAIN, **params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_custodian_is_told_why_with_every_record(gateway: Gateway, helper: Partner) -> None:
    person_id = person_of(gateway)
    consent_id = decide(gateway, person_id, helper)
    found = why(gateway.clinic, person_id=person_id, recipient_id=helper.organisation_id)
    assert (found["visible"], found["outcome"], found["purpose"]) == (True, "granted", "COC")
    assert found["classes"] == ["identity", "coordination"]
    assert "family_name" in found["fields"]
    assert "phone" in found["hidden_fields"]
    (grant,) = [one for one in found["reasons"]["grants"] if one["held"]]
    assert {factor["factor"] for factor in grant["factors"]} >= {"grant opens", "agreement allows"}
    sources = {s["id"] for factor in grant["factors"] for s in factor["sources"]}
    assert consent_id in sources


def test_why_not_names_the_deny(gateway: Gateway, helper: Partner) -> None:
    person_id = person_of(gateway)
    decide(gateway, person_id, helper)
    denied = decide(gateway, person_id, helper, decision="deny", classes=[], purposes=[])
    found = why(gateway.clinic, person_id=person_id, recipient_id=helper.organisation_id)
    assert (found["visible"], found["classes"], found["fields"]) == (False, [], [])
    (grant,) = found["reasons"]["grants"]
    (cut,) = [one for one in grant["factors"] if one["factor"] == "person does not deny"]
    assert cut["classes"] == []
    assert denied in [source["id"] for source in cut["sources"]]


def test_a_document_without_an_id_is_explained_by_its_class(
    gateway: Gateway, helper: Partner
) -> None:
    person_id = person_of(gateway)
    case_id = case_of(gateway, person_id)
    decide(gateway, person_id, helper, classes=["plan", "coordination"])
    asked = {"case_id": case_id, "resource": "document"}
    to = {**asked, "recipient_id": helper.organisation_id}
    found = why(gateway.clinic, data_class="plan", **to)
    assert (found["visible"], found["hidden_fields"]) == (True, [])
    assert "title" in found["fields"]
    for hidden in ({"data_class": "clinical"}, {"data_class": "plan", "labels": ["SUD"]}):
        found = why(gateway.clinic, **hidden, **to)
        assert (found["visible"], found["fields"]) == (False, [])
        assert "title" in found["hidden_fields"]
    seen = gateway.clinic.get(f"{EXPLAIN}/who", data_class="plan", **asked).json()["seen_by"]
    assert {one["organisation_id"] for one in seen} == {
        gateway.clinic.organisation_id,
        helper.organisation_id,
    }
    assert all("title" in one["fields"] for one in seen)
    for wrong in (asked, {"case_id": case_id, "data_class": "plan"}):
        answer = gateway.clinic.get(EXPLAIN, **wrong)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (
            422,
            "#/query/data_class",
        )


def test_a_sealed_case_says_so_to_its_custodian(gateway: Gateway, helper: Partner) -> None:
    person_id = person_of(gateway)
    decide(gateway, person_id, helper)
    open_, sealed = case_of(gateway, person_id), case_of(gateway, person_id, sealed=True)
    reader = {"recipient_id": helper.organisation_id}
    assert why(gateway.clinic, case_id=open_, **reader)["visible"]
    assert why(gateway.clinic, case_id=sealed, **reader)["outcome"] == "sealed"
    assert helper.get(EXPLAIN, case_id=sealed).status_code == 404


def test_a_partner_is_told_its_own_view_and_no_reasons(gateway: Gateway, helper: Partner) -> None:
    person_id = person_of(gateway)
    decide(gateway, person_id, helper)
    found = why(helper, person_id=person_id)
    assert (found["visible"], found["outcome"]) == (True, "granted")
    assert found["reasons"] is None
    assert found["hidden_fields"] is None
    of_another = {"person_id": person_id, "recipient_id": gateway.payer.organisation_id}
    assert helper.get(EXPLAIN, **of_another).status_code == 404
    assert helper.get(f"{EXPLAIN}/who", person_id=person_id).status_code == 404


def test_what_a_partner_may_not_know_of_answers_as_what_is_not_there(
    gateway: Gateway, helper: Partner
) -> None:
    hidden, absent = person_of(gateway), new_id("per")
    answers = [helper.get(EXPLAIN, person_id=one) for one in (hidden, absent)]
    assert [one.status_code for one in answers] == [404, 404]
    first, second = ({k: v for k, v in a.json().items() if k != "trace_id"} for a in answers)
    assert first == second


def test_nobody_becomes_a_custodian_by_naming_itself(gateway: Gateway, helper: Partner) -> None:
    person_id = person_of(gateway)
    decide(gateway, person_id, gateway.payer)
    asked = {"person_id": person_id, "custodian_id": helper.organisation_id}
    for path in (EXPLAIN, f"{EXPLAIN}/who"):
        assert helper.get(path, **asked).status_code == 404
    body = {**asked, "recipient_id": gateway.payer.organisation_id}
    assert helper.post(PREVIEW, body).status_code == 404


def test_who_sees_a_person_is_told_to_its_custodian_and_the_coordinator(
    gateway: Gateway, helper: Partner
) -> None:
    person_id = person_of(gateway)
    decide(gateway, person_id, helper)
    for by in (gateway.clinic, gateway.admin):
        found = by.get(f"{EXPLAIN}/who", person_id=person_id).json()["seen_by"]
        seen = {(one["organisation_id"], one["purpose"]) for one in found}
        assert seen == {
            (gateway.clinic.organisation_id, ""),
            (helper.organisation_id, "COC"),
        }


def test_what_an_organisation_sees_is_summed_up(gateway: Gateway) -> None:
    reader = gateway.client(gateway.organisation("social-service", "Counted"), "COC")
    agree(gateway, reader)
    for _ in range(3):
        decide(gateway, person_of(gateway), reader)
    for by, params in ((gateway.clinic, {"recipient_id": reader.organisation_id}), (reader, {})):
        (found,) = by.get(f"{EXPLAIN}/what", **params).json()["sees"]
        assert (found["purpose"], found["persons"]) == ("COC", 3)
        assert found["classes"] == {"identity": 3, "coordination": 3}
    nothing = gateway.outsider.get(f"{EXPLAIN}/what", recipient_id=reader.organisation_id)
    assert nothing.json()["sees"] == []


def test_labels_and_confidentiality_of_a_row_count(gateway: Gateway, helper: Partner) -> None:
    person_id = person_of(gateway)
    decide(gateway, person_id, helper, classes=["needs"])
    case_id = case_of(gateway, person_id)
    asked = {"case_id": case_id, "recipient_id": helper.organisation_id, "resource": "need"}
    assert why(gateway.clinic, **asked)["visible"]
    labelled = why(gateway.clinic, **asked, labels=["SDV"])
    assert (labelled["visible"], labelled["outcome"]) == (False, "not-enough")
    assert not why(gateway.clinic, **asked, confidentiality="R")["visible"]
    wrong = gateway.clinic.get(EXPLAIN, **{**asked, "resource": "shoe"})
    assert wrong.json()["errors"][0]["pointer"] == "#/query/resource"


def test_a_preview_is_what_the_referral_then_opens(gateway: Gateway, helper: Partner) -> None:
    person_id = person_of(gateway)
    case_id = case_of(gateway, person_id)
    body = {"recipient_id": helper.organisation_id, "case_id": case_id}
    found = gateway.clinic.post(PREVIEW, body).json()
    stages = {one["stage"]: one for one in found["gets"] if one["purpose"] == "COC"}
    assert stages["requested"]["classes"] == ["coordination", "needs"]
    assert stages["accepted"]["classes"] == ["contact", "coordination", "needs", "plan"]
    assert "goal" not in stages["requested"]["resources"]
    assert "phone" in stages["accepted"]["resources"]["person"]
    assert "family_name" not in stages["accepted"]["resources"]["person"]
    assert "reason" in found["sent"]["referral"]
    assert helper.get("/v1/grants", person_id=person_id).json()["items"] == []
    decide(gateway, person_id, gateway.payer, recipient_id=None, classes=["identity"])
    again = gateway.clinic.post(PREVIEW, body).json()["gets"]
    (accepted,) = [one for one in again if (one["stage"], one["purpose"]) == ("accepted", "COC")]
    assert "family_name" in accepted["resources"]["person"]


def test_a_preview_is_for_the_custodian(gateway: Gateway, helper: Partner) -> None:
    body = {"recipient_id": helper.organisation_id, "person_id": person_of(gateway)}
    for partner in (helper, gateway.outsider):
        assert partner.post(PREVIEW, body).status_code == 404
    own = {**body, "recipient_id": gateway.clinic.organisation_id}
    assert gateway.clinic.post(PREVIEW, own).status_code == 422


def test_a_document_is_shown_whole_or_not_at_all(gateway: Gateway, helper: Partner) -> None:
    person_id = person_of(gateway)
    decide(gateway, person_id, helper)
    body = {
        "recipient_id": helper.organisation_id,
        "case_id": case_of(gateway, person_id),
        "sending": "document",
        "data_class": "coordination",
    }

    def resources(**changes: Any) -> dict[str, Any]:
        found = gateway.clinic.post(PREVIEW, {**body, **changes}).json()["gets"]
        (one,) = [one for one in found if one["purpose"] == "COC"]
        shown: dict[str, Any] = one["resources"]
        return shown

    assert "title" in resources()["document"]
    assert resources(labels=["SUD"]) == {}
    assert resources(data_class="clinical") == {}


def test_ending_an_agreement_is_simulated(gateway: Gateway) -> None:
    reader = gateway.client(gateway.organisation("social-service", "Leaving"), "COC")
    agreement_id = agree(gateway, reader)
    person_id = person_of(gateway)
    decide(gateway, person_id, reader)
    found = gateway.admin.post(SIMULATE, {"end_agreement_id": agreement_id}).json()
    assert (found["widens"], found["gains"]) == (False, [])
    (loss,) = found["loses"]
    assert loss["sample"][0]["person_id"] == person_id
    assert why(reader, person_id=person_id)["visible"]
    gateway.admin.post(f"/v1/agreements/{agreement_id}/end", None, **{"If-Match": '"1"'})
    assert reader.get(EXPLAIN, person_id=person_id).status_code == 404


def test_another_policy_is_simulated_over_everybody(gateway: Gateway) -> None:
    reader = gateway.client(gateway.organisation("coordinator", "Widened"), "COC")
    agree(gateway, reader, classes=["identity", "financial"], consent_classes=[])
    person_id = person_of(gateway)
    decide(gateway, person_id, reader, classes=["identity", "financial"])
    text = POLICY.replace(
        "  coordinator:\n    COC: [identity,", "  coordinator:\n    COC: [financial, identity,"
    )
    assert text != POLICY
    found = gateway.admin.post(SIMULATE, {"policy": text}).json()
    assert found["widens"] is True
    (gain,) = [g for g in found["gains"] if g["recipient_id"] == reader.organisation_id]
    assert gain["classes"] == {"financial": 1}
    same = gateway.admin.post(SIMULATE, {"policy": POLICY}).json()
    assert (same["widens"], same["gains"], same["loses"], same["terms"]) == (False, [], [], [])
    narrow = POLICY.replace(
        "always_by_consent: [substance-use]", "always_by_consent: [identity, substance-use]"
    )
    lost = gateway.admin.post(SIMULATE, {"policy": narrow}).json()
    assert (lost["widens"], lost["gains"]) == (False, [])


def test_a_wrong_policy_is_refused_with_its_place(gateway: Gateway) -> None:
    text = POLICY.replace("HOPERAT: [outcome]", "HOPERAT: [outcome, shoes]")
    answer = gateway.admin.post(SIMULATE, {"policy": text})
    assert answer.status_code == 422
    (fault,) = answer.json()["errors"]
    assert fault["pointer"] == "#/policy"
    assert "ceilings.payer.HOPERAT" in fault["detail"]
    assert gateway.clinic.post(SIMULATE, {"policy": POLICY}).status_code == 403
