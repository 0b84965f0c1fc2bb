"""The hand-written JSON Schemas of events: `contracts/events/<noun>.<verb>.v1.schema.json`."""

import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson

PREFIX = "org.careloop."
_SUFFIX = ".schema.json"
_NAME = re.compile(r"[a-z-]+\.[a-z-]+\.v\d+\.schema\.json")
_chosen: list[Path] = []


class UnknownContract(Exception):
    """No schema is written for that type: it may not be published."""


class Schema:
    """The contract of one event type."""

    def __init__(self, kind: str, document: Mapping[str, Any], registry: Any) -> None:
        self.type = kind
        self.document = document
        self.id = str(document.get("$id", f"urn:careloop:event:{kind.removeprefix(PREFIX)}"))
        self._validator = jsonschema_rs.Draft202012Validator(
            dict(document), registry=registry, validate_formats=True
        )

    def fault(self, data: object) -> str | None:
        """Return where the data breaks the contract and by which rule, without its values."""
        for error in self._validator.iter_errors(data):
            where = "/".join(str(step) for step in error.instance_path)
            rule = "/".join(str(step) for step in error.schema_path)
            return f"#/{where} breaks {rule}"
        return None


def use(directory: Path | None) -> None:
    """Take the contracts from that folder instead of the one beside the packages."""
    _chosen[:] = [directory] if directory else []
    schemas.cache_clear()


def events_dir() -> Path:
    """Return the folder of the event schemas. Raises UnknownContract when there is none."""
    if _chosen:
        return _chosen[0] / "events"
    for parent in Path(__file__).resolve().parents:
        if (parent / "contracts" / "events").is_dir():
            return parent / "contracts" / "events"
    raise UnknownContract(f"no contracts{os.sep}events beside the packages")


@cache
def schemas() -> Mapping[str, Schema]:
    """Return every contract by event type, such as `org.careloop.case.opened.v1`."""
    documents = {path: orjson.loads(path.read_bytes()) for path in _files()}
    registry = jsonschema_rs.Registry(
        [(document.get("$id", path.as_uri()), document) for path, document in documents.items()]
        + [(path.name, document) for path, document in documents.items()]
    )
    return {
        PREFIX + path.name.removesuffix(_SUFFIX): Schema(
            PREFIX + path.name.removesuffix(_SUFFIX), document, registry
        )
        for path, document in documents.items()
        if _NAME.fullmatch(path.name)
    }


def _files() -> list[Path]:
    return sorted(events_dir().glob("*.json"))


def schema_of(kind: str) -> Schema:
    """Return the contract of the type. Raises UnknownContract."""
    try:
        return schemas()[kind]
    except KeyError:
        raise UnknownContract(f"no contract for {kind}") from None
