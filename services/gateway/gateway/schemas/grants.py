"""Grants that a custodian gives itself."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from svckit.http import In, Instant

from gateway.schemas import AnyId, Classes, Purposes

Reference = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
]


class GrantIn(In):
    """Opens one person's data under one agreement, without the person's permit.

    `treatment`: provider to provider, where the agreement's legal basis is `treatment`. `legal`: names
    what it follows. Sensitive classes still need what agreement and law ask for.
    """

    agreement_id: AnyId
    recipient_id: AnyId
    person_id: AnyId
    # left out: every case of the person
    case_id: AnyId | None = None
    basis: Literal["treatment", "legal"]
    # of the order, statute or request; a number, no description of the person
    reference: Reference | None = None
    # left out: all that is agreed
    classes: Classes | None = None
    purposes: Purposes | None = None
    valid_to: Instant | None = Field(default=None)

    @model_validator(mode="after")
    def _legal_has_a_reference(self) -> Self:
        if (self.basis == "legal") != (self.reference is not None):
            raise ValueError("a legal basis, and no other, names its reference")
        return self
