"""What a decision about one row depends on, as its service tells it to whoever explains it.

Ids, codes and classes only: nothing that a person or a partner wrote.
"""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

Code = Literal["U", "L", "M", "N", "R", "V"]


class _Value(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


class Way(_Value):
    """One thing that the row is attached to, through which it may be seen.

    `only`: the organisations that alone come this way, besides the row's custodian.
    """

    case_id: str | None = None
    referral_id: str | None = None
    only: tuple[str, ...] | None = None


class Within(_Value):
    """The case that a reader must see to see anything in it."""

    case_id: str
    custodian_id: str
    confidentiality: Code
    # what its custodian sees of rows that others filed in it
    filed: tuple[str, ...] = ()


class Described(_Value):
    """A row: whose, about whom, what it demands. What its `ways` show counts together."""

    resource: str
    custodian_id: str
    person_id: str
    required: tuple[str, ...]
    confidentiality: Code
    ways: tuple[Way, ...]
    # organisations that see all of it, like the custodian
    parties: tuple[str, ...] = ()
    within: Within | None = None
    # false: its custodian's alone, whatever was granted, such as a document without content
    shared: bool = True
