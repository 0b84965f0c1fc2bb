"""The gate of event schemas: a published type only ever gains optional fields.

`contracts/events.lock.json` holds every type as it was published. `make contracts` adds what is new
and refuses what breaks; the contract tests compare with every lock that was ever committed.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from svckit.contracts import PREFIX, schemas

from careloop.errors import Refused

FILE = Path(__file__).resolve().parent.parent / "contracts" / "events.lock.json"
# What tells people about a field and binds no data.
_WORDS = frozenset({"description", "title", "examples", "$comment", "deprecated"})
_NAMED = ("properties", "$defs")

Schema = Mapping[str, Any]


def breaks(old: Schema, new: Schema, place: str = "#") -> Iterator[str]:
    """Yield how the new schema breaks readers or writers of the old one: place and reason."""
    for word in sorted(set(old) | set(new)):
        if word in _WORDS:
            continue
        if word in _NAMED:
            yield from _fields(old.get(word, {}), new, word, place)
        elif (
            word == "items" and isinstance(old.get(word), dict) and isinstance(new.get(word), dict)
        ):
            yield from breaks(old[word], new[word], f"{place}/items")
        elif _plain(old.get(word)) != _plain(new.get(word)):
            yield f"{place}/{word} changed"


def _fields(old: Schema, new: Schema, word: str, place: str) -> Iterator[str]:
    """Yield what became of the named parts; one that is new is optional, or it breaks."""
    now: Schema = new.get(word, {})
    for name, field in old.items():
        if name in now:
            yield from breaks(field, now[name], f"{place}/{word}/{name}")
        else:
            yield f"{place}/{word}/{name} is gone"


def _plain(value: object) -> object:
    """Return the value with the order of a set of values left out: `required`, `enum`, `type`."""
    return sorted(map(json.dumps, value)) if isinstance(value, list) else value


def bare(schema: Any) -> Any:
    """Return the schema without what only tells people about it."""
    if isinstance(schema, dict):
        fields = {
            name: {key: bare(one) for key, one in schema[name].items()}
            for name in _NAMED
            if name in schema
        }
        return fields | {
            key: bare(one) for key, one in schema.items() if key not in _WORDS and key not in fields
        }
    return [bare(one) for one in schema] if isinstance(schema, list) else schema


def current() -> dict[str, Schema]:
    """Return every type's schema, as it is locked."""
    return {kind.removeprefix(PREFIX): bare(found.document) for kind, found in schemas().items()}


def faults(locked: Mapping[str, Schema], found: Mapping[str, Schema]) -> list[str]:
    """Return what breaks with what was published; a type that is gone breaks too."""
    gone = [f"{kind} is gone" for kind in sorted(set(locked) - set(found))]
    changed = (
        f"{kind} {why}"
        for kind in sorted(set(locked) & set(found))
        for why in breaks(locked[kind], found[kind])
    )
    return [*gone, *changed]


def text(found: Mapping[str, Schema]) -> str:
    """Return the lock file: a line per type."""
    lines = [
        f"{json.dumps(kind)}: {json.dumps(found[kind], sort_keys=True, separators=(',', ':'))}"
        for kind in sorted(found)
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def write(file: Path = FILE) -> None:
    """Lock what is new. Raises Refused: a published type would break."""
    found = current()
    locked = json.loads(file.read_text()) if file.exists() else {}
    if broken := faults(locked, found):
        raise Refused("publish a new major version beside the old one: " + "; ".join(broken))
    file.write_text(text(found))
