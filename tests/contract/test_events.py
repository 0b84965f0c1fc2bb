"""Event contracts: every type has a schema and an example, thin and without personal data."""

import json
from pathlib import Path

import jsonschema_rs
import pytest
from sharing.classes import NAMES

FOLDER = Path(__file__).resolve().parents[2] / "contracts" / "events"
SCHEMAS = sorted(FOLDER.glob("*.v1.schema.json"))
ENVELOPE = {"id", "version", "custodian_id", "person_id", "case_id", "parties", "classes", "href"}
PERSONAL = {"name", "family", "given", "birth", "phone", "email", "address", "text", "reason"}


def test_there_are_events():
    assert len(SCHEMAS) >= 30


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda p: p.name)
def test_the_example_is_an_instance_of_the_schema(path):
    schema = json.loads(path.read_text())
    example = json.loads(Path(str(path).replace(".schema.", ".example.")).read_text())
    jsonschema_rs.validator_for(schema, validate_formats=True).validate(example)


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda p: p.name)
def test_the_schema_is_closed_and_carries_what_a_sharing_decision_needs(path):
    schema = json.loads(path.read_text())
    jsonschema_rs.meta.validate(schema)
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) >= ENVELOPE, path.name
    assert schema["$id"].endswith(path.name), path.name


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda p: p.name)
def test_no_field_of_an_event_holds_personal_data(path):
    def names(node):
        if isinstance(node, dict):
            yield from node.get("properties", {})
            for value in node.values():
                yield from names(value)
        elif isinstance(node, list):
            for value in node:
                yield from names(value)

    words = {word for name in names(json.loads(path.read_text())) for word in name.split("_")}
    allowed = {"name"} if path.name.startswith("organisation.") else set()
    assert not (words & PERSONAL) - allowed


def fields(node, place=""):
    """Yield (place, schema) of every field, at every depth."""
    for name, field in node.get("properties", {}).items():
        yield f"{place}{name}", field
        yield from fields(field, f"{place}{name}.")
        yield from fields(field.get("items", {}), f"{place}{name}.")
    for name, inner in node.get("$defs", {}).items():
        yield from fields(inner, f"{place}$defs.{name}.")


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda p: p.name)
def test_every_field_has_a_data_class(path):
    found = dict(fields(json.loads(path.read_text())))
    known = {"envelope", *NAMES}
    assert {
        place for place, field in found.items() if field.get("x-data-class") not in known
    } == set()
    # what a thin form may tell to whoever learns of the event at all
    assert {found[name]["x-data-class"] for name in ENVELOPE} == {"envelope"}


OPENAPI = FOLDER.parent / "openapi"
# whose field of the same name an event's change tells of
MODELS = {
    "activity": "ActivityOut",
    "assessment": "AssessmentOut",
    "care-team": "MemberOut",
    "case": "CaseOut",
    "goal": "GoalOut",
    "need": "NeedOut",
    "note": "NoteOut",
    "party": "PartyOut",
    "referral": "ReferralOut",
    "task": "TaskOut",
}


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda p: p.name)
def test_a_field_has_the_class_of_the_resource_it_tells_of(path):
    model = MODELS.get(path.name.partition(".")[0])
    documents = [json.loads(each.read_text()) for each in OPENAPI.glob("*.json")]
    shown = [each["components"]["schemas"].get(model, {}) for each in documents]
    classes = {
        name: field["x-data-class"]
        for each in shown
        for name, field in each.get("properties", {}).items()
        if "x-data-class" in field
    }
    change = json.loads(path.read_text())["properties"]["change"]
    for name, field in change.get("properties", {}).items():
        if name in classes:
            assert field["x-data-class"] == classes[name], name


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda p: p.name)
def test_an_unknown_field_is_refused(path):
    schema = json.loads(path.read_text())
    example = json.loads(Path(str(path).replace(".schema.", ".example.")).read_text())
    assert not jsonschema_rs.is_valid(schema, {**example, "colour": "red"})
