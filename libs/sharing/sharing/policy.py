"""The policy as data, YAML or JSON: a closed schema, checked before anything is published.

An unknown field, class, purpose, kind or a condition outside the algebra is refused with its place.
A policy is named by the SHA-256 of its canonical form; `difference.py` says what a change opens.
`current()` is the one that this task decides by: what `following.py` last read of the publications,
or the release's own while there are none.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    PrivateAttr,
    StringConstraints,
    ValidationError,
)
from pydantic_core import PydanticCustomError
from svckit.errors import Unavailable

from sharing import conditions, purposes
from sharing.algebra import Predicate
from sharing.classes import ALL, PART2, DataClass, UnknownClass, class_of, names_of

Kind = Literal["clinic", "social-service", "payer", "coordinator"]
# of the canonical form: an event of 64 KiB holds it, escaped
LONGEST = 40_000


class Fault(NamedTuple):
    """What is wrong at one place; the path is that in the document."""

    path: tuple[str | int, ...]
    code: str
    detail: str

    def __str__(self) -> str:
        return f"{'.'.join(str(part) for part in self.path) or 'policy'}: {self.detail}"


class PolicyRefused(ValueError):
    """The policy names something that does not exist, or is not a policy at all."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = faults


class PolicyUnreadable(Unavailable):
    """The policy in force says what this release does not know: nothing can be decided."""

    code = "policy-unreadable"

    def __init__(self) -> None:
        super().__init__("What you may see cannot be decided by this release.")


def _mask(value: Any) -> DataClass:
    if value == "all":
        return ALL
    if not isinstance(value, list):
        raise PydanticCustomError("unknown-class", "expected 'all' or a list of data classes")
    found = DataClass.ENVELOPE
    for place, name in enumerate(value):
        try:
            found |= class_of(name)
        except (UnknownClass, TypeError) as error:
            raise _misplaced("unknown-class", str(error), place) from None
    return found


def _purpose(code: str) -> str:
    try:
        purposes.bit(code)
    except purposes.UnknownPurpose as error:
        raise _misplaced("unknown-purpose", str(error)) from None
    return code


def _condition(written: Any) -> Any:
    try:
        conditions.read(written)
    except conditions.OutsideAlgebra as error:
        place, _, said = str(error).partition(": ")
        path = [] if place == "condition" else place.split(".")
        found = (int(part) if part.isdecimal() else part for part in path)
        raise _misplaced("outside-algebra", said, *found) from None
    return written


def _misplaced(code: Any, said: str, *place: str | int) -> PydanticCustomError:
    """Return the fault of something below the field that pydantic names."""
    return PydanticCustomError(code, "{said}", {"said": said, "place": place})


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
    # as it was published: a later release may write the same another way
    _published: str | None = PrivateAttr(default=None)

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
        return self._published or self._sha256

    @cached_property
    def _sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @cached_property
    def text(self) -> str:
        """The canonical form."""
        return canonical(self.model_dump(mode="json")).decode()

    @classmethod
    def of_publication(cls, text: str, version: str) -> Self:
        """Return what was published. Raises PolicyUnreadable, also when the text is another."""
        if hashlib.sha256(text.encode()).hexdigest() != version:
            raise PolicyUnreadable
        try:
            found = cls.model_validate(json.loads(text))
        except ValueError as error:
            raise PolicyUnreadable from error
        found._published = version  # noqa: SLF001 - our own
        return found

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
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
            line = node.start_mark.line + 1
            raise PolicyRefused(Fault((str(key),), "written-twice", f"written twice, line {line}"))
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def parse(text: str) -> Policy:
    """Return the policy of a YAML or JSON text. Raises PolicyRefused, which names the places."""
    try:
        plain = yaml.load(text, Loader=_StrictLoader)  # noqa: S506
    except yaml.YAMLError as error:
        raise PolicyRefused(Fault((), "malformed-yaml", f"not YAML: {error}")) from error
    return read(plain)


def read(plain: Any) -> Policy:
    """Return the policy of plain values. Raises PolicyRefused, which names the places."""
    try:
        return Policy.model_validate(plain)
    except ValidationError as error:
        raise PolicyRefused(*_faults(error)) from error


def _faults(error: ValidationError) -> Iterator[Fault]:
    for fault in error.errors():
        within = fault.get("ctx", {}).get("place", ())
        path = (*(part for part in fault["loc"] if part != "[key]"), *within)
        yield Fault(path, fault["type"].replace("_", "-"), fault["msg"])


def check_publishable(written: Policy) -> None:
    """Raise PolicyRefused for what no publication may say, beside what is no policy at all."""
    faults = []
    for name in ("labels", "other_labels"):
        if getattr(written, name) != getattr(carried(), name):
            said = "kept with every record by the release; only a release changes them"
            faults.append(Fault((name,), "bound-to-release", said))
    if not written.always_by_consent & PART2:
        said = f"{', '.join(names_of(PART2))} needs the person's permit by law (42 CFR 2.31, 2.33)"
        faults.append(Fault(("always_by_consent",), "bound-by-law", said))
    if len(written.text) > LONGEST:
        said = f"longer than {LONGEST} characters in its canonical form"
        faults.append(Fault((), "too-long", said))
    if faults:
        raise PolicyRefused(*faults)


@cache
def carried() -> Policy:
    """Return the policy this build carries, loaded once."""
    return parse((Path(__file__).parent / "policy.yaml").read_text(encoding="utf-8"))


class InForce(NamedTuple):
    """A version and what it says; None: this release cannot read it."""

    version: str
    policy: Policy | None


_told: ContextVar[InForce | None] = ContextVar("policy", default=None)
# of the process: what is not told anything of its own still never decides by less than was read
_last: list[InForce] = []


def decide_by(found: InForce) -> None:
    """Let this task decide by it, and what has not been told anything."""
    _last[:] = [found]
    _told.set(found)


def in_force() -> InForce:
    """Return what this task decides by."""
    return _told.get() or (_last[0] if _last else own())


@cache
def own() -> InForce:
    """Return the release's own, in force until something is published."""
    return InForce(carried().digest(), carried())


def current() -> Policy:
    """Return the policy this task decides by. Raises PolicyUnreadable."""
    found = in_force().policy
    if found is None:
        raise PolicyUnreadable
    return found
