import json
import re
from datetime import UTC, datetime
from enum import StrEnum
from itertools import count
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, RootModel, computed_field, create_model
from sharing import ALL, DataClass, class_map, classed, mask_of, may_show, project, unclassed
from sharing.classes import NAMES, UnknownClass
from sharing.fields import tag, told_by, visible_names

masks = st.integers(0, int(ALL))
class_names = st.sampled_from(["envelope", *NAMES])
canary = count()


def _models(depth):
    """Models of fields with random classes; at depth, fields that hold further models."""
    leaves = st.lists(class_names, min_size=1, max_size=4)
    if depth == 0:
        return leaves.map(lambda names: _model(names, []))
    nested = st.lists(st.tuples(class_names, _models(depth - 1), st.integers(0, 2)), max_size=2)
    return st.tuples(leaves, nested).map(lambda parts: _model(*parts))


def _model(names, nested):
    fields = {
        f"f{place}": (Annotated[str | None, classed(name)], None)
        for place, name in enumerate(names)
    }
    for place, (name, inner, shape) in enumerate(nested):
        kind = [inner, list[inner], dict[str, inner]][shape]
        fields[f"n{place}"] = (Annotated[kind | None, classed(name)], None)
    return create_model("Made", **fields)


def _filled(model):
    """An instance in which every text is a canary of its own, and {canary: path}."""
    values, canaries = {}, {}
    for name, info in model.model_fields.items():
        if name.startswith("f"):
            values[name] = f"canary-{next(canary)}"
            canaries[values[name]] = name
            continue
        inner = _inner(info.annotation)
        filled = [_filled(inner) for _ in range(2)]
        shape = str(info.annotation)
        values[name] = (
            [one for one, _ in filled]
            if "list" in shape
            else {f"key{place}": one for place, (one, _) in enumerate(filled)}
            if "dict" in shape
            else filled[0][0]
        )
        for _, more in filled if "list" in shape or "dict" in shape else filled[:1]:
            canaries |= {text: f"{name}.{path}" for text, path in more.items()}
    return model(**values), canaries


def _inner(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = [_inner(part) for part in getattr(annotation, "__args__", ())]
    return next((one for one in found if one is not None), None)


@given(_models(2), masks)
def test_a_value_leaves_exactly_when_every_class_on_its_path_is_seen(model, mask):
    instance, canaries = _filled(model)
    leaves_with = class_map(model)
    shown = json.dumps(project(instance, mask))
    for text, path in canaries.items():
        assert (f'"{text}"' in shown) is may_show(mask, leaves_with[path])


@given(_models(1), masks, masks)
def test_seeing_more_never_hides_anything(model, mask, more):
    instance, canaries = _filled(model)
    less, all_of_it = (json.dumps(project(instance, one)) for one in (mask, mask | more))
    for text in canaries:
        assert f'"{text}"' not in less or f'"{text}"' in all_of_it


@given(_models(1))
def test_whoever_sees_nothing_sees_no_envelope_either(model):
    assert project(_filled(model)[0], 0) == {}


class Mood(StrEnum):
    GOOD = "good"


class Name(BaseModel):
    family: Annotated[str | None, classed("identity"), Field(max_length=9, alias="familyName")]


class Person(BaseModel):
    model_config = ConfigDict(extra="allow")

    id: Annotated[str, classed("envelope")]
    name: Annotated[Name | None, classed("envelope")] = None
    phone: Annotated[str | None, classed("contact")] = None
    seen_at: Annotated[datetime | None, classed("coordination")] = None
    mood: Annotated[Mood, classed("notes")] = Mood.GOOD
    forgotten: str = "not classed"

    @computed_field
    @property
    def initial(self) -> Annotated[str | None, classed("identity")]:
        return self.name.family[:1] if self.name and self.name.family else None

    @computed_field
    @property
    def also_forgotten(self) -> int:
        return 1


def test_what_is_hidden_is_absent_and_what_is_empty_is_null():
    person = Person(id="per_1")
    assert project(person, mask_of(["contact"])) == {"id": "per_1", "name": None, "phone": None}


def test_values_leave_in_their_form_on_the_wire():
    person = Person(
        id="per_1", name={"familyName": "Ada"}, seen_at=datetime(2026, 1, 5, tzinfo=UTC)
    )
    shown = project(person, mask_of(["identity", "coordination", "notes"]))
    assert shown == {
        "id": "per_1",
        "name": {"familyName": "Ada"},
        "seen_at": "2026-01-05T00:00:00Z",
        "mood": "good",
        "initial": "A",
    }


def test_a_field_without_a_class_is_shown_to_nobody():
    person = Person(id="per_1", surprise="extra fields neither")
    assert {"forgotten", "also_forgotten", "surprise"}.isdisjoint(project(person, ALL))


def test_a_field_without_a_class_is_found_also_in_nested_models():
    class Outer(BaseModel):
        people: Annotated[list[dict[str, Person] | None], classed("notes")]

    assert unclassed(Outer) == ["people.forgotten", "people.also_forgotten"]
    assert class_map(Outer)["people.name.familyName"] == mask_of(["notes", "identity"])


def test_a_model_that_holds_itself_is_walked_once():
    class Tree(BaseModel):
        label: Annotated[str, classed("plan")]
        under: Annotated["list[Tree]", classed("plan")] = []

    Tree.model_rebuild(_types_namespace={"Tree": Tree})
    assert unclassed(Tree) == []
    tree = Tree(label="a", under=[Tree(label="b")])
    assert project(tree, DataClass.PLAN) == {"label": "a", "under": [{"label": "b", "under": []}]}


def test_a_root_model_is_projected_inside():
    shown = project(RootModel[list[Person]]([Person(id="per_1")]), DataClass.CONTACT)
    assert shown == [{"id": "per_1", "name": None, "phone": None}]


def test_the_class_is_part_of_the_contract():
    schema = Person.model_json_schema(mode="serialization")
    properties = schema["properties"]
    assert properties["phone"]["x-data-class"] == "contact"
    assert properties["id"]["x-data-class"] == "envelope"
    assert properties["initial"]["x-data-class"] == "identity"
    assert schema["$defs"]["Name"]["properties"]["familyName"]["x-data-class"] == "identity"
    assert "x-data-class" not in properties["forgotten"]


def test_an_unknown_class_is_refused_when_the_model_is_written():
    with pytest.raises(UnknownClass, match="'secrets'"):
        classed("secrets")


class Told(BaseModel):
    title: Annotated[str, classed("coordination")]
    text: Annotated[str, classed("notes")]
    phone: Annotated[str, classed("contact")]
    both: Annotated[str, classed("notes", "contact")]


@pytest.mark.parametrize(
    ("changed", "needed"),
    [
        ([], ["coordination"]),
        (["title"], ["coordination"]),
        (["title", "text", "phone"], ["coordination"]),
        (["text"], ["coordination", "notes"]),
        (["text", "both"], ["coordination", "notes"]),
        (["text", "phone"], ["coordination", "notes", "contact"]),
        (["both"], ["coordination", "notes", "contact"]),
    ],
)
def test_a_change_is_told_to_who_sees_the_least_hidden_of_it(changed, needed):
    assert told_by(Told, changed, DataClass.COORDINATION) == mask_of(needed)


@given(names=st.lists(st.sampled_from(sorted(Told.model_fields)), min_size=1), mask=masks)
def test_nobody_is_told_of_what_is_hidden_whole(names, mask):
    told = told_by(Told, names, DataClass.ENVELOPE)
    if told and may_show(mask, told):
        assert visible_names(Told, names, mask)


def test_a_field_that_is_shown_otherwise_is_told_so():
    seen_as = {"text": DataClass.CONTACT}
    assert told_by(Told, ["text"], DataClass.COORDINATION, seen_as) == mask_of(
        ["coordination", "contact"]
    )


@given(mask=masks)
def test_the_tag_is_the_version_or_a_digest_of_what_is_seen(mask):
    """One change, two rows: the tag moves for who sees the field or the version, for nobody else."""
    before, after = ({"a": 1, "b": 2}, {"a": 1, "b": 3})
    for name, hidden in (("a", True), ("b", False)):
        seen = [tag({name: body[name]}, version) for version, body in ((1, before), (2, after))]
        assert (seen[0] == seen[1]) is hidden
        assert re.fullmatch(r"[\w-]{20}", seen[0])
    assert tag({"version": mask}, mask) == mask
