"""What filters can ask for is what the contracts of the events print."""

import orjson
import pytest
from notify_svc.domain.filters import (
    NEED_CATEGORIES,
    STATUS_CLASS,
    TRANSITIONS,
    Codes,
    codes_of,
)
from notify_svc.domain.kinds import TOLD, full
from sharing.classes import DataClass
from svckit.contracts import events_dir, schema_of

KINDS = [kind for kinds in TOLD.values() for kind in kinds]


def change_of(kind):
    return schema_of(full(kind)).document["properties"]["change"].get("properties", {})


def example(kind):
    return orjson.loads((events_dir() / f"{kind}.v1.example.json").read_bytes())["change"]


def test_the_categories_are_those_of_the_contracts():
    assert set(NEED_CATEGORIES) == set(change_of("need.identified")["category"]["enum"])
    assert set(NEED_CATEGORIES) == set(change_of("referral.requested")["need_category"]["enum"])


def test_the_transitions_are_the_statuses_of_the_contracts():
    found = set()
    for kind in KINDS:
        status = change_of(kind).get("status", {})
        if kind.partition(".")[0] in STATUS_CLASS:
            found |= {status["const"]} if "const" in status else set(status.get("enum", ()))
    assert found == set(TRANSITIONS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_filter_looks_at_the_class_that_shows_the_field(kind):
    change, noun = change_of(kind), kind.partition(".")[0]
    if "status" in change and noun in STATUS_CLASS:
        assert change["status"]["x-data-class"] == STATUS_CLASS[noun]
    for name in ("need_category", "category"):
        if name in change and (noun == "need" or name == "need_category"):
            assert change[name]["x-data-class"] == "needs"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("referral.accepted", Codes("food-insecurity", "accepted", DataClass.OUTCOME)),
        ("referral.changed", Codes("food-insecurity", None, 0)),
        ("need.identified", Codes("food-insecurity", "open", DataClass.NEEDS)),
        ("case.closed", Codes(None, "closed", DataClass.OUTCOME)),
        ("document.withdrawn", Codes(None, "entered-in-error", 0)),
        ("note.added", Codes(None, None, 0)),
        ("service.changed", Codes(None, None, 0)),
    ],
)
def test_codes_of_the_examples(kind, expected):
    assert codes_of(kind, example(kind)) == expected


def test_a_status_that_did_not_change_is_no_transition():
    change = {"fields": ["title"], "status": "ready"}
    assert codes_of("task.changed", change) == Codes(None, None, 0)
    assert codes_of("task.changed", change | {"fields": ["status"]}).transition == "ready"
