"""A published event type only gains optional fields: compared with every lock ever committed."""

import copy
import json
import subprocess

import pytest

from careloop import compatibility
from careloop.errors import Refused

ROOT = compatibility.FILE.parents[1]
LOCK = "contracts/events.lock.json"
OLD = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id"],
    "properties": {
        "id": {"type": "string", "pattern": "^a_"},
        "status": {"enum": ["open", "closed"], "x-data-class": "outcome"},
        "change": {
            "type": "object",
            "properties": {"codes": {"type": "array", "items": {"type": "string"}}},
        },
    },
}


def changed(*steps, to=None):
    """The old schema with one place replaced, or removed."""
    new = copy.deepcopy(OLD)
    node = new
    for step in steps[:-1]:
        node = node[step]
    if to is None:
        del node[steps[-1]]
    else:
        node[steps[-1]] = to
    return new


def test_every_published_type_is_locked_as_it_stands():
    assert compatibility.FILE.read_text() == compatibility.text(compatibility.current()), (
        "run `make contracts`"
    )


def git(*arguments):
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_nothing_breaks_with_any_lock_that_was_ever_committed():
    listed = git("log", "--format=%H", "--", LOCK)
    if listed.returncode != 0 or not listed.stdout:
        pytest.skip("no git history here: the committed lock alone is compared")
    found = compatibility.current()
    for commit in listed.stdout.split():
        shown = git("show", f"{commit}:{LOCK}")
        if shown.returncode == 0:
            assert compatibility.faults(json.loads(shown.stdout), found) == [], commit


@pytest.mark.parametrize(
    "new",
    [
        changed("properties", "note", to={"type": "string"}),
        changed("properties", "change", "properties", "more", to={"type": "integer"}),
        changed("properties", "id", "description", to="Who it is."),
        changed("properties", "status", "enum", to=["closed", "open"]),
        changed("$defs", to={"part": {"type": "string"}}),
    ],
    ids=["an optional field", "one further down", "words", "another order", "a definition"],
)
def test_what_is_optional_or_only_told_may_come(new):
    assert list(compatibility.breaks(OLD, new)) == []


@pytest.mark.parametrize(
    ("new", "place"),
    [
        (changed("properties", "status"), "#/properties/status is gone"),
        (changed("required", to=["id", "status"]), "#/required changed"),
        (changed("required", to=[]), "#/required changed"),
        (changed("properties", "id", "pattern", to="^b_"), "#/properties/id/pattern changed"),
        (changed("properties", "id", "maxLength", to=3), "#/properties/id/maxLength changed"),
        (changed("properties", "status", "enum", to=["open"]), "#/properties/status/enum changed"),
        (
            changed("properties", "status", "x-data-class", to="plan"),
            "#/properties/status/x-data-class changed",
        ),
        (changed("additionalProperties", to=True), "#/additionalProperties changed"),
        (
            changed("properties", "change", "properties", "codes", "items", "type", to="integer"),
            "#/properties/change/properties/codes/items/type changed",
        ),
    ],
    ids=[
        "a field gone",
        "a field required",
        "a field no longer sure",
        "another pattern",
        "a new bound",
        "a value gone",
        "another data class",
        "open to anything",
        "another type further down",
    ],
)
def test_what_would_break_a_reader_or_writer_is_named_with_its_place(new, place):
    assert list(compatibility.breaks(OLD, new)) == [place]


def test_a_type_that_is_gone_breaks_and_a_new_one_does_not():
    assert compatibility.faults({"a.v1": OLD}, {"b.v1": OLD}) == ["a.v1 is gone"]
    assert compatibility.faults({"a.v1": OLD}, {"a.v1": OLD, "a.v2": OLD}) == []


def test_a_breaking_change_is_not_locked(tmp_path):
    locked = compatibility.current()
    kind = min(locked)
    was = {**locked, kind: {**locked[kind], "required": []}}
    lock = tmp_path / "events.lock.json"
    lock.write_text(compatibility.text(was))
    with pytest.raises(Refused, match=kind):
        compatibility.write(lock)
    assert json.loads(lock.read_text()) == json.loads(compatibility.text(was))
