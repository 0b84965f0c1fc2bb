"""Field classes on response models, and the projection that drops what a mask does not show.

    class PersonOut(Out):
        id: Annotated[str, classed("envelope")]
        family_name: Annotated[str | None, classed("identity")] = None

The class appears in OpenAPI as `x-data-class`. What is not shown is absent, not null. A field
without a class is shown to nobody until it is classed.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, reduce
from operator import and_, or_
from types import MappingProxyType
from typing import Any, get_args

import orjson
from pydantic import BaseModel, GetJsonSchemaHandler, RootModel
from pydantic.fields import ComputedFieldInfo, FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from sharing.classes import ALL, DataClass, class_of, names_of

# JSON values that nothing is inside of
_LEAVES = frozenset({str, int, float, bool, type(None)})
_ABSENT = object()


@dataclass(frozen=True)
class Classed:
    """The class of one field, as metadata of its annotation."""

    mask: DataClass

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        names = names_of(self.mask) or ["envelope"]
        several = {"x-data-classes": names} if len(names) > 1 else {}
        return {**handler(schema), "x-data-class": names[0], **several}


def classed(*names: str) -> Classed:
    """Return the annotation that gives a field its class; of several, a reader needs them all.

    Raises UnknownClass at import.
    """
    return Classed(reduce(or_, map(class_of, names)))


def project(model: BaseModel, mask: int) -> dict[str, Any]:
    """Return the model as JSON values with only the fields the mask shows, at every depth."""
    shown: dict[str, Any] = _prune(model.model_dump(mode="json", by_alias=True), model, mask)
    return shown


def tag(body: Mapping[str, Any], version: int) -> int | str:
    """Return what tells one state of a resource from another, as its reader may tell them apart.

    That is the version where `body` shows it: to who sees every class that a change may be of. To
    all others it is a digest of what they see, so that nothing hidden moves it.
    """
    if "version" in body:
        return version
    digest = hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()
    return base64.urlsafe_b64encode(digest[:15]).decode()


@cache
def class_map(model: type[BaseModel]) -> Mapping[str, DataClass]:
    """Return the classes a reader needs for every field, by path as on the wire (`name.family`).

    Fields that have no class are left out; see `unclassed`.
    """
    return {path: needed for path, needed in _walk(model) if needed is not None}


@cache
def classes_in(model: type[BaseModel]) -> int:
    """Return the classes that a model's fields can show at all, nested ones included."""
    return int(reduce(or_, class_map(model).values(), DataClass.ENVELOPE))


def told_by(
    model: type[BaseModel],
    names: Iterable[str],
    base: int,
    instead: Mapping[str, DataClass] = MappingProxyType({}),
) -> DataClass:
    """Return the classes that a reader needs to learn that these fields changed.

    `base` is what the row itself demands, `instead` what a field does that is not shown as it is. A
    change is told to who sees the least hidden of its fields; where none of them is that, to who
    sees them all. Nobody is told of what is hidden whole.
    """
    needed = {**class_map(model), **instead}
    hidden = {int(needed[name]) & ~int(base) for name in names}
    least = reduce(and_, hidden, int(ALL))
    more = least if least in hidden else reduce(or_, hidden, 0)
    return DataClass(int(base) | more)


def visible_names(model: type[BaseModel], names: Iterable[str], mask: int) -> list[str]:
    """Return those of the names of fields that the mask shows."""
    needed = class_map(model)
    return [name for name in names if may_show(mask, needed.get(name, ALL))]


def unclassed(model: type[BaseModel]) -> list[str]:
    """Return the paths of fields that have no class yet, also in nested models."""
    return [path for path, needed in _walk(model) if needed is None]


def may_show(mask: int, required: int) -> bool:
    """Tell whether a mask that sees anything at all holds every required class."""
    return mask != 0 and mask & required == required


def _prune(dumped: Any, value: Any, mask: int) -> Any:
    if isinstance(value, RootModel):
        return _prune(dumped, value.root, mask)
    if isinstance(value, BaseModel) and isinstance(dumped, dict):
        return {
            key: found if type(found) in _LEAVES else _prune(found, getattr(value, name), mask)
            for name, key in _shown(type(value), mask)
            if (found := dumped.get(key, _ABSENT)) is not _ABSENT
        }
    if isinstance(value, Mapping) and isinstance(dumped, dict):
        pairs = zip(dumped.items(), value.values(), strict=True)
        return {key: _prune(item, inner, mask) for (key, item), inner in pairs}
    if isinstance(value, (list, tuple)) and isinstance(dumped, list):
        return [_prune(item, inner, mask) for item, inner in zip(dumped, value, strict=True)]
    return dumped


@lru_cache(maxsize=4096)
def _shown(model: type[BaseModel], mask: int) -> tuple[tuple[str, str], ...]:
    """The fields that a mask shows: attribute, key on the wire."""
    return tuple(
        (name, key)
        for name, key, needed in _plan(model)
        if needed is not None and may_show(mask, needed)
    )


@cache
def _plan(model: type[BaseModel]) -> tuple[tuple[str, str, DataClass | None], ...]:
    """One entry a field: attribute, key on the wire, class (None: nobody)."""
    fields = [
        (name, info.serialization_alias or info.alias or name, _class_in(info))
        for name, info in model.model_fields.items()
    ]
    computed = [
        (name, info.alias or name, _class_in_type(info))
        for name, info in model.model_computed_fields.items()
    ]
    return tuple(fields + computed)


def _class_in(info: FieldInfo) -> DataClass | None:
    return _class_of_metadata(info.metadata)


def _class_in_type(info: ComputedFieldInfo) -> DataClass | None:
    return _class_of_metadata(get_args(info.return_type)[1:])


def _class_of_metadata(metadata: Any) -> DataClass | None:
    masks = [item.mask for item in metadata if isinstance(item, Classed)]
    return masks[-1] if masks else None


def _walk(
    model: type[BaseModel],
    path: str = "",
    above: DataClass = DataClass.ENVELOPE,
    seen: tuple[type[BaseModel], ...] = (),
) -> Iterator[tuple[str, DataClass | None]]:
    for name, key, needed in _plan(model):
        here = f"{path}{key}"
        within = above | (needed or DataClass.ENVELOPE)
        yield here, None if needed is None else within
        info = model.model_fields.get(name)
        for nested in _models_in(info.annotation) if info else ():
            if nested not in (*seen, model):
                yield from _walk(nested, f"{here}.", within, (*seen, model))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
