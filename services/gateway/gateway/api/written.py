"""Reviewed data as it is written: JSON or YAML, read strictly, every fault with its place."""

import json
from typing import Any, TypeVar

import yaml
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from svckit.errors import BadRequest, FieldError, Invalid, UnsupportedMediaType

Body = TypeVar("Body", bound=BaseModel)
YAML_TYPES = frozenset({"application/yaml", "application/x-yaml", "text/yaml"})


def described(schema: dict[str, Any]) -> dict[str, Any]:
    """Return what OpenAPI says of such a body."""
    kinds = ("application/json", "application/yaml")
    content = {kind: {"schema": schema} for kind in kinds}
    return {"requestBody": {"required": True, "content": content}}


async def value(request: Request) -> Any:
    """Return the body's plain values. Raises BadRequest, UnsupportedMediaType, Invalid."""
    raw = await request.body()
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in YAML_TYPES:
        return of_yaml(raw)
    if media_type == "application/json":
        return _of_json(raw)
    raise UnsupportedMediaType("Send application/json or application/yaml.")


async def read(request: Request, model: type[Body]) -> Body:
    """Return the body as the model says. Raises BadRequest, UnsupportedMediaType, Invalid."""
    try:
        return model.model_validate(await value(request))
    except ValidationError as error:
        places = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]
        raise RequestValidationError(places) from error


def of_yaml(raw: bytes) -> Any:
    """Return what a YAML text says: no tags, aliases or names written twice."""
    try:
        return yaml.load(raw, Loader=_Strict)  # noqa: S506 - a safe loader, made stricter
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise BadRequest(
            f"The body is not acceptable YAML{where}.", code="malformed-yaml"
        ) from None


def _of_json(raw: bytes) -> Any:
    try:
        return json.loads(raw, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise BadRequest("The body is not well-formed JSON.", code="malformed-json") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _twice(next(name for name, _ in pairs if sum(n == name for n, _ in pairs) > 1))
    return found


def _twice(name: object) -> Invalid:
    fault = FieldError(f"#/{name}", "written-twice", "A name may be written once.")
    return Invalid("A name is written twice.", errors=[fault])


class _Strict(yaml.SafeLoader):
    """YAML keeps the last of two equal names in silence, and an alias can stand for a bomb."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not taken")
        return super().compose_node(parent, index)


def _mapping(loader: _Strict, node: yaml.MappingNode) -> dict[Any, Any]:
    names = [loader.construct_object(name, deep=True) for name, _ in node.value]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise _twice(name)
    return loader.construct_mapping(node, deep=True)


_Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
