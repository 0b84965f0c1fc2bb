"""The closed algebra of the rule: nodes without behaviour, so that each reading of them is total.

Two readings exist: `sql.py` compiles a node to an expression, `evaluate.py` computes it. Predicates
are monotone - there is no `not` over them, `Differ` wants both sides known - so SQL's unknown and the
evaluator's False come to the same. Masks may be complemented; they are never null.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

Side = Literal["reader", "row", "grant", "agreement", "consent", "seal"]


@dataclass(frozen=True)
class Ref:
    """A field of one of the six things a decision looks at."""

    side: Side
    field: str


@dataclass(frozen=True)
class Equal:
    """Both known and the same."""

    left: Ref
    right: Ref


@dataclass(frozen=True)
class Differ:
    """Both known and not the same."""

    left: Ref
    right: Ref


@dataclass(frozen=True)
class OneOf:
    """Known and written in a closed list."""

    of: Ref
    values: tuple[str, ...]


@dataclass(frozen=True)
class AtMost:
    """Both known and the first rank not above the second."""

    left: Ref
    right: Ref


@dataclass(frozen=True)
class Missing:
    of: Ref


@dataclass(frozen=True)
class Holds:
    """A flag that is set."""

    of: Ref


@dataclass(frozen=True)
class Covers:
    """The declared purposes cover the reader's, by subsumption."""

    declared: Ref


@dataclass(frozen=True)
class Under:
    """The reader's purpose is this one or lies under it."""

    code: str


@dataclass(frozen=True)
class InForce:
    """from <= now < to; without an end it stays in force."""

    start: Ref
    end: Ref


@dataclass(frozen=True)
class AllOf:
    terms: tuple["Predicate", ...]


@dataclass(frozen=True)
class AnyOf:
    terms: tuple["Predicate", ...]


Predicate = (
    Equal | Differ | OneOf | AtMost | Missing | Holds | Covers | Under | InForce | AllOf | AnyOf
)


@dataclass(frozen=True)
class Classes:
    """The classes written in a record."""

    of: Ref


class Lines(Protocol):
    """What knows the most that a kind may see for a purpose; a policy does."""

    def ceiling(self, kind: str, purpose: str) -> int: ...


@dataclass(frozen=True)
class Ceiling:
    """A policy's classes for the reader's kind and purpose."""

    policy: Lines


@dataclass(frozen=True)
class Directed:
    """What the person's directives say of each class: the newest wins, deny at equal time."""

    decision: Literal["permit", "deny"]


@dataclass(frozen=True)
class Sealed:
    """Every class, while a seal that counts is in place."""


@dataclass(frozen=True)
class When:
    """Every class where the condition holds."""

    condition: Predicate


@dataclass(frozen=True)
class Always:
    mask: int


@dataclass(frozen=True)
class Except:
    of: "Mask"


@dataclass(frozen=True)
class Either:
    terms: tuple["Mask", ...]


Mask = Classes | Ceiling | Directed | Sealed | When | Always | Except | Either


@dataclass(frozen=True)
class Clause:
    """A condition under the name an explanation gives it."""

    name: str
    condition: Predicate


@dataclass(frozen=True)
class Factor:
    """One of the masks that a grant's classes are cut down to."""

    name: str
    mask: Mask


@dataclass(frozen=True)
class Rule:
    """A grant opens the classes common to all factors if all its clauses hold.

    A row shows the union over its grants, or everything to its parties, cut down to the `barriers`.
    `directives` choose the consents that count, `says` cuts down what each of them speaks of,
    `seals` choose the seals. `version` is that of the policy.
    """

    clauses: tuple[Clause, ...]
    directives: tuple[Clause, ...]
    factors: tuple[Factor, ...]
    says: tuple[Factor, ...] = ()
    seals: tuple[Clause, ...] = ()
    barriers: tuple[Factor, ...] = ()
    version: str = ""

    # part of the key of every statement that is kept: worked out once
    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        parts = self.clauses, self.directives, self.factors, self.says, self.seals, self.barriers
        return hash(parts)
