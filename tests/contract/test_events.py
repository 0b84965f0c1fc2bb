"""Event contracts: every type has a schema and an example, thin and without personal data."""

import json
from pathlib import Path

import jsonschema_rs
import pytest

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


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda p: p.name)
def test_an_unknown_field_is_refused(path):
    schema = json.loads(path.read_text())
    example = json.loads(Path(str(path).replace(".schema.", ".example.")).read_text())
    assert not jsonschema_rs.is_valid(schema, {**example, "colour": "red"})
