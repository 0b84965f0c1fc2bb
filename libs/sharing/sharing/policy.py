"""The policy as data, YAML or JSON: a closed schema, checked before anything is published.

An unknown field, class, purpose, kind or a condition outside the algebra is refused with its place.
A policy is named by the SHA-256 of its canonical form; `difference.py` says what a change opens.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    StringConstraints,
    ValidationError,
)

from sharing import conditions, purposes
from sharing.algebra import Predicate
from sharing.classes import ALL, DataClass, mask_of, names_of

Kind = Literal["clinic", "social-service", "payer", "coordinator"]


class PolicyRefused(ValueError):
    """The policy names something that does not exist, or is not a policy at all."""


def _mask(value: Any) -> DataClass:
    if value == "all":
        return ALL
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError("expected 'all' or a list of data classes")
    return mask_of(value)


def _purpose(code: str) -> str:
    purposes.bit(code)
    return code


def _condition(written: Any) -> Any:
    conditions.read(written)
    return written


Mask = Annotated[
    DataClass, BeforeValidator(_mask), PlainSerializer(names_of, list[str], when_used="json")
]
PurposeCode = Annotated[str, AfterValidator(_purpose)]


class Limit(BaseModel):
    """Classes that a grant shows only where a condition holds; it narrows, it never opens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9 -]{2,60}$")]
    classes: Mask
    only_when: Annotated[Any, AfterValidator(_condition)]

    @property
    def condition(self) -> Predicate:
        return conditions.read(self.only_when)


class Policy(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1]
    ceilings: dict[Kind, dict[PurposeCode, Mask]]
    always_by_consent: Mask
    labels: dict[str, Mask]
    other_labels: Mask
    limits: tuple[Limit, ...] = ()

    def ceiling(self, kind: str, purpose: str) -> DataClass:
        """Return the most that this kind may see for the purpose; nothing for an unknown name."""
        written: Mapping[str, DataClass] = dict(self.ceilings).get(kind, {})  # type: ignore[call-overload]
        found = (written[code] for code in purposes.lineage(purpose) if code in written)
        return next(found, DataClass.ENVELOPE)

    def required_by(self, labels: Iterable[str]) -> DataClass:
        """Return the classes a reader needs on top, for the sensitivity labels of a resource."""
        needed = DataClass.ENVELOPE
        for label in labels:
            needed |= self.labels.get(label, self.other_labels)
        return needed

    def digest(self) -> str:
        """Return the SHA-256 of the canonical form: the version a decision is recorded with."""
        return hashlib.sha256(canonical(self.model_dump(mode="json"))).hexdigest()

    def __hash__(self) -> int:
        return hash(self.digest())


def canonical(plain: Any) -> bytes:
    """Return JSON values in their one writing: sorted keys, no spaces, UTF-8 (after RFC 8785).

    For texts, whole numbers, booleans, nulls, lists and objects; other numbers are refused.
    """
    return _written(plain).encode()


def _written(plain: Any) -> str:
    if isinstance(plain, dict):
        # by UTF-16 code units, as RFC 8785 wants it
        keys = sorted(plain, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(f"{_written(key)}:{_written(plain[key])}" for key in keys) + "}"
    if isinstance(plain, list):
        return "[" + ",".join(_written(one) for one in plain) + "]"
    if isinstance(plain, float):
        raise TypeError("a policy has no fractions")
    return json.dumps(plain, ensure_ascii=False)


class _StrictLoader(yaml.SafeLoader):
    """YAML keeps the last of two equal keys in silence; a policy must not."""


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise PolicyRefused(f"{key}: written twice, line {node.start_mark.line + 1}")
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def parse(text: str) -> Policy:
    """Return the policy of a YAML or JSON text. Raises PolicyRefused, which names the place."""
    try:
        return Policy.model_validate(yaml.load(text, Loader=_StrictLoader))  # noqa: S506
    except yaml.YAMLError as error:
        raise PolicyRefused(f"not YAML: {error}") from error
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc'] if part != '[key]')}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise PolicyRefused("; ".join(faults)) from error


@cache
def current() -> Policy:
    """Return the policy this build carries, loaded once."""
    return parse((Path(__file__).parent / "policy.yaml").read_text(encoding="utf-8"))
