"""Bodies of suspensions of a person's right to an accounting."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import model_validator
from svckit.http import In, Instant, Out

from gateway.schemas import AnyId, Name, Open
from gateway.schemas.grants import Reference


class SuspensionIn(In):
    """What an agency stated: that an accounting would impede it, and for how long.

    45 CFR 164.528(a)(2): a written statement names its end; an oral one is documented with who made
    it, and ends after 30 days at the latest.
    """

    person_id: AnyId
    # the agency, as the recipient of disclosures
    organisation_id: AnyId
    authority: Literal["law-enforcement", "health-oversight"]
    form: Literal["written", "oral"]
    # who stated it
    official: Name
    # of the statement; a number, no description of the person
    reference: Reference | None = None
    valid_to: Instant | None = None

    @model_validator(mode="after")
    def _written_has_an_end(self) -> Self:
        if self.form == "written" and self.valid_to is None:
            raise ValueError("a written statement names its end")
        return self


class SuspensionOut(Out):
    id: Annotated[str, Open]
    custodian_id: Annotated[str, Open]
    person_id: Annotated[str, Open]
    organisation_id: Annotated[str, Open]
    authority: Annotated[str, Open]
    form: Annotated[str, Open]
    official: Annotated[str, Open]
    reference: Annotated[str | None, Open]
    valid_from: Annotated[datetime, Open]
    valid_to: Annotated[datetime, Open]
    created_at: Annotated[datetime, Open]
