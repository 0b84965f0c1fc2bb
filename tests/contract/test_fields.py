"""The gateway's registry of fields is what the services' own documents and rules say."""

import json

from case_svc.domain.classes import CASE_SHOWS, NOTE_CLASS, RECORD_SHOWS, NoteKind, of_need
from sharing.classes import class_of, names_of

from careloop import contracts, fields

REGISTRY = json.loads(fields.FILE.read_text())


def test_the_committed_registry_is_the_generated_one():
    assert fields.FILE.read_text() == fields.text(contracts.FOLDER), "run `make contracts`"


def test_every_field_names_classes_that_exist():
    for entry in REGISTRY.values():
        assert entry["fields"]
        for needed in entry["fields"].values():
            assert all(class_of(name) for name in needed)


def test_a_row_is_shown_by_what_its_service_says():
    shown = {resource: set(entry["shown_by"]) for resource, entry in REGISTRY.items()}
    assert shown["case"] == set(names_of(CASE_SHOWS))
    assert shown["person"] == set(names_of(RECORD_SHOWS))
    assert shown["note"] == set(names_of(NOTE_CLASS[NoteKind.COORDINATION]))
    assert shown["need"] == set(names_of(of_need("food-insecurity")))


def test_a_nested_field_needs_what_its_outer_field_needs():
    case = REGISTRY["case"]["fields"]
    assert case["counts.goals"] == ["plan"]
    assert set(REGISTRY["need"]["fields"]["coding"]) <= set(
        REGISTRY["need"]["fields"]["coding.code"]
    )
