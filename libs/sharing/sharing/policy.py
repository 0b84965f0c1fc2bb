"""The policy as written in policy.yaml, validated: an unknown name is refused, its place named."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from sharing import purposes
from sharing.classes import ALL, DataClass, mask_of

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


Mask = Annotated[DataClass, BeforeValidator(_mask)]
PurposeCode = Annotated[str, AfterValidator(_purpose)]


class Policy(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1]
    ceilings: dict[Kind, dict[PurposeCode, Mask]]
    always_by_consent: Mask
    labels: dict[str, Mask]
    other_labels: Mask

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
        plain = self.model_dump(mode="json")
        canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


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
    """Return the policy of a YAML text. Raises PolicyRefused, which names the place."""
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
