"""Published examples, through the gateway: HSDS directories, Gravity referrals, Synthea persons."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from careloop.demo.checks import eventually
from careloop.partner import Partner, must
from tests.world import Platform

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
GRAVITY, HSDS, SYNTHEA = DATA / "gravity", DATA / "hsds", DATA / "synthea"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is absent")

CODES = "http://hl7.org/fhir/us/sdoh-clinicalcare/CodeSystem/SDOHCC-CodeSystemTemporaryCodes"
CATEGORIES = GRAVITY / "terminology-v3.0.0" / "ValueSet-SDOHCC-ValueSetSDOHCategory.json"
TO = {"accepted": ["accept"], "completed": ["accept", "start", "complete"]}
HISTORY = ["requested", "accepted", "in-progress", "completed"]


@pytest.fixture(scope="module")
def clinic(calm: Platform) -> Partner:
    return calm.partner("Lakeside Clinic")


@pytest.fixture(scope="module")
def food(calm: Platform) -> Partner:
    return calm.partner("Harbor Food Bank")


# HSDS


def tabular(folder: Path) -> dict[str, list[dict[str, str]]]:
    """Return a CSV package as HSDS's tabular JSON."""
    tables = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open(newline="") as rows:
            tables[path.name] = list(csv.DictReader(rows))
    return tables


def hsds_examples() -> Iterator[Any]:
    for version in ("v3.0", "v3.1"):
        examples = HSDS / version / "examples"
        for path in sorted(examples.glob("*.json")):
            yield pytest.param(json.loads(path.read_text()), id=f"{version}/{path.stem}")
        yield pytest.param(tabular(examples / "csv"), id=f"{version}/csv")


@pytest.mark.parametrize("document", list(hsds_examples()) if DATA.is_dir() else [])
def test_an_hsds_example_is_imported(food: Partner, document: Any) -> None:
    answer = must(food.post("/v1/directory/import", document)).body
    assert answer["items"], "nothing was recognised"
    assert [item for item in answer["items"] if item["result"] == "refused"] == []
    is_api = "openapi_url" in document
    assert (answer["skipped"] == len(answer["items"])) is is_api
    again = must(food.post("/v1/directory/import", document)).body
    assert (again["created"], again["changed"]) == (0, 0)


def test_an_imported_service_is_found_by_what_its_example_says(
    clinic: Partner, food: Partner
) -> None:
    example = json.loads((HSDS / "v3.1" / "examples" / "service_full.json").read_text())
    must(food.post("/v1/directory/import", example))
    wanted = {"q": "counselling", "language": "ur", "age": 30, "area": "mycity"}
    (found,) = (
        item
        for item in clinic.items("/v1/directory/services", **wanted)
        if item["hsds_id"] == example["id"]
    )
    detail = must(clinic.get(f"/v1/directory/services/{found['id']}")).body
    assert detail["hsds"]["application_process"] == example["application_process"]
    assert detail["capacity_status"] == "capacity"
    assert detail["need_categories"] == []
    assert "schedules" in detail


# Gravity


def gravity(kind: str) -> dict[str, dict[str, Any]]:
    """Return the example resources of one type by their reference."""
    found = {}
    for folder in ("examples-built", "examples-v3.0.0"):
        for path in sorted((GRAVITY / folder).glob(f"{kind}-*.json")):
            resource = json.loads(path.read_text())
            found[f"{kind}/{resource['id']}"] = resource
    return found


def categories(resource: dict[str, Any]) -> list[str]:
    """Return the resource's SDOH categories that are in the value set."""
    expansion = json.loads(CATEGORIES.read_text())
    known = {
        concept["code"] for part in expansion["compose"]["include"] for concept in part["concept"]
    }
    codings = [coding for each in resource.get("category", []) for coding in each["coding"]]
    return [c["code"] for c in codings if c.get("system") == CODES and c["code"] in known]


def record(patient: dict[str, Any]) -> dict[str, Any]:
    """Return a FHIR Patient as a client record: the name and address that still hold."""
    current = [
        next(part for part in patient[key] if "end" not in part.get("period", {}))
        if patient.get(key)
        else {}
        for key in ("name", "address")
    ]
    name, address = current
    phones = [each["value"] for each in patient.get("telecom", []) if each["system"] == "phone"]
    identifiers = [
        {"system": each["system"], "value": each["value"]}
        for each in patient.get("identifier", [])
        if "system" in each and " " not in each["value"]
    ]
    return {
        "family_name": name["family"],
        "given_name": " ".join(name["given"]),
        "birth_date": patient["birthDate"],
        "gender": patient["gender"],
        "phone": phones[0] if phones else None,
        "address": {
            "line": ", ".join(address.get("line", [])) or None,
            "city": address.get("city"),
            "state": address.get("state"),
            "postal_code": address.get("postalCode"),
            "country": address.get("country"),
        },
        "identifiers": identifiers[:20],
    }


class GravityNetwork:
    """The examples' persons as cases of the clinic, each with its needs."""

    def __init__(self, clinic: Partner, food: Partner) -> None:
        self.clinic, self.food = clinic, food
        self.persons: dict[str, str] = {}
        self.cases: dict[str, str] = {}
        self.needs: dict[tuple[str, str], str] = {}
        for reference, patient in gravity("Patient").items():
            person = must(clinic.post("/v1/persons", record(patient)), 201).body
            opened = {"person_id": person["id"], "worker": "navigator", "title": "Social needs"}
            case = must(clinic.post("/v1/cases", opened), 201)
            must(clinic.post(f"/v1/cases/{case.body['id']}/activate", version=case.version))
            self.persons[reference], self.cases[reference] = person["id"], case.body["id"]

    def identify(self, resource: dict[str, Any]) -> None:
        """Identify the needs a Condition or Observation tells of, each once."""
        person = resource["subject"]["reference"]
        for category in categories(resource):
            if (person, category) in self.needs or person not in self.cases:
                continue
            codings = resource["code"]["coding"]
            coding = [{"system": each["system"], "code": each["code"]} for each in codings]
            body = {"category": category, "coding": coding}
            path = f"/v1/cases/{self.cases[person]}/needs"
            self.needs[person, category] = must(self.clinic.post(path, body), 201).body["id"]

    def refer(self, request: dict[str, Any], number: str) -> dict[str, Any]:
        person = request["subject"]["reference"]
        (category,) = categories(request)
        coding = request["code"]["coding"][0]
        body = {
            "owner_id": self.food.organisation_id,
            "case_id": self.cases[person],
            "person_id": self.persons[person],
            "need_id": self.needs.get((person, category)),
            "need_category": category,
            "requested_activity": {
                "system": coding["system"],
                "code": coding["code"],
                "text": coding["display"],
            },
            "requester_number": number,
        }
        made: dict[str, Any] = must(self.clinic.post("/v1/referrals", body), 201).body
        return made

    def drive(self, referral: dict[str, Any], verbs: list[str], outcome: dict[str, Any]) -> None:
        path = f"/v1/referrals/{referral['id']}"
        for verb in verbs:
            version = must(self.food.get(path)).version
            body = {"outcome": outcome} if verb == "complete" else None
            must(self.food.post(f"{path}/{verb}", body, version=version))


@pytest.fixture(scope="module")
def network(clinic: Partner, food: Partner) -> GravityNetwork:
    found = GravityNetwork(clinic, food)
    for kind in ("Condition", "Observation"):
        for resource in gravity(kind).values():
            found.identify(resource)
    return found


def activity_of(task: dict[str, Any] | None) -> dict[str, Any]:
    """Return what the Task's output refers to as a coded activity, if it is a Procedure here."""
    procedures = gravity("Procedure")
    for output in (task or {}).get("output", []):
        procedure = procedures.get(output.get("valueReference", {}).get("reference", ""))
        if procedure:
            coding = procedure["code"]["coding"][0]
            return {"activity": {"system": coding["system"], "code": coding["code"]}}
    return {}


def referral_tasks() -> dict[str, dict[str, Any]]:
    return {
        reference: task
        for reference, task in gravity("Task").items()
        if task.get("focus", {}).get("reference", "").startswith("ServiceRequest/")
    }


def test_the_examples_needs_are_in_the_cases(network: GravityNetwork) -> None:
    found = {category for _, category in network.needs}
    assert found >= {"food-insecurity", "homelessness", "employment-status"}
    for (person, category), need in network.needs.items():
        path = f"/v1/cases/{network.cases[person]}/needs/{need}"
        assert must(network.clinic.get(path)).body["category"] == category


def test_a_loop_closes_for_each_gravity_service_request(network: GravityNetwork) -> None:
    requests = gravity("ServiceRequest")
    assert len(requests) >= 4
    tasks = referral_tasks().values()
    for reference, request in requests.items():
        done = next(
            (
                task
                for task in tasks
                if task["focus"]["reference"] == reference and activity_of(task)
            ),
            None,
        )
        outcome = {"need_met": "yes", **activity_of(done)}
        made = network.refer(request, request["id"])
        network.drive(made, TO["completed"], outcome)
        path = f"/v1/referrals/{made['id']}"
        closed = must(network.clinic.get(path)).body
        assert (closed["status"], closed["request_status"]) == ("completed", "completed")
        assert closed["requester_number"] == request["id"]
        assert closed["outcome"]["need_met"] == "yes"
        moves = must(network.clinic.get(f"{path}/history")).body["items"]
        assert [move["to_status"] for move in moves] == HISTORY
        need = network.needs.get((request["subject"]["reference"], made["need_category"]))
        if need:
            where = f"/v1/cases/{made['case_id']}/needs/{need}"
            eventually(
                lambda where=where: must(network.clinic.get(where)).body["status"] == "met",
                "the need is not met although the loop is closed",
            )


def test_each_gravity_task_stands_in_its_own_state(network: GravityNetwork) -> None:
    requests = gravity("ServiceRequest")
    tasks = referral_tasks()
    assert {task["status"] for task in tasks.values()} == {"accepted", "completed"}
    for reference, task in tasks.items():
        made = network.refer(requests[task["focus"]["reference"]], reference)
        network.drive(made, TO[task["status"]], {"need_met": "partly", **activity_of(task)})
        seen = must(network.clinic.get(f"/v1/referrals/{made['id']}")).body
        assert seen["status"] == task["status"]
        assert seen["owner_id"] == network.food.organisation_id


# Synthea


def synthea() -> list[dict[str, Any]]:
    found = [
        json.loads(line)
        for path in sorted(SYNTHEA.glob("bulk-*/Patient.ndjson"))
        for line in path.read_text().splitlines()
    ]
    for path in sorted(SYNTHEA.glob("bundles-*/*.json")):
        entries = json.loads(path.read_text())["entry"]
        resources = [entry["resource"] for entry in entries]
        found += [each for each in resources if each["resourceType"] == "Patient"]
    return found


def test_every_synthea_person_is_registered(clinic: Partner) -> None:
    patients = synthea()
    assert len(patients) >= 144
    made = [must(clinic.post("/v1/persons", record(each)), 201).body["id"] for each in patients]
    assert len(set(made)) == len(patients)
    for person, patient in list(zip(made, patients, strict=True))[::12]:
        (seen,) = must(clinic.get(f"/v1/persons/{person}")).body["records"]
        assert seen["birth_date"] == patient["birthDate"]
        assert seen["family_name"] in {name["family"] for name in patient["name"]}
