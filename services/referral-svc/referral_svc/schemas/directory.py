"""The directory at the edge. Words are HSDS 3.1's; nothing here is about a person."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field
from sharing import classed
from svckit.http import In, Out

from referral_svc.domain.needs import CapacityStatus, NeedCategory
from referral_svc.schemas.referrals import Words

_Open = classed("envelope")
Result = Literal["created", "changed", "unchanged", "skipped", "refused"]


class ItemError(Out):
    pointer: str
    code: str
    detail: str


class ItemOut(Out):
    """What became of one object of the document; `id` is ours, `hsds_id` the publisher's."""

    pointer: str
    kind: str
    result: Result
    hsds_id: str | None = None
    id: str | None = None
    errors: list[ItemError] = Field(default_factory=list)


class ImportOut(Out):
    created: int
    changed: int
    unchanged: int
    skipped: int
    refused: int
    items: list[ItemOut]


class ServiceChange(In):
    """Only what the owner declares here; the rest comes with the next import.

    `need_categories` null returns to the mapping of taxonomy terms.
    """

    need_categories: Annotated[list[NeedCategory], Field(max_length=24)] | None = None
    capacity_status: CapacityStatus | None = None
    capacity_notes: Words | None = None


class ServiceOut(Out):
    id: Annotated[str, _Open]
    version: Annotated[int, _Open]
    organisation_id: Annotated[str, _Open]
    hsds_id: Annotated[str, _Open]
    name: Annotated[str, _Open]
    status: Annotated[str, _Open]
    alternate_name: Annotated[str | None, _Open] = None
    description: Annotated[str | None, _Open] = None
    url: Annotated[str | None, _Open] = None
    email: Annotated[str | None, _Open] = None
    eligibility_description: Annotated[str | None, _Open] = None
    minimum_age: Annotated[float | None, _Open] = None
    maximum_age: Annotated[float | None, _Open] = None
    need_categories: Annotated[list[str], _Open]
    capacity_status: Annotated[CapacityStatus | None, _Open] = None
    capacity_notes: Annotated[str | None, _Open] = None
    languages: Annotated[list[str], _Open]
    areas: Annotated[list[str], _Open]
    updated_at: Annotated[AwareDatetime, _Open]


class LocationOut(Out):
    id: Annotated[str, _Open]
    hsds_id: Annotated[str, _Open]
    location_type: Annotated[str, _Open]
    name: Annotated[str | None, _Open] = None
    latitude: Annotated[float | None, _Open] = None
    longitude: Annotated[float | None, _Open] = None
    hsds: Annotated[dict[str, Any], _Open]


class ServiceDetail(ServiceOut):
    """With its parts, and `hsds`: the object as published, unknown properties kept."""

    locations: Annotated[list[LocationOut], _Open]
    schedules: Annotated[list[dict[str, Any]], _Open]
    language_details: Annotated[list[dict[str, Any]], _Open]
    service_areas: Annotated[list[dict[str, Any]], _Open]
    capacities: Annotated[list[dict[str, Any]], _Open]
    taxonomy_terms: Annotated[list[dict[str, Any]], _Open]
    hsds: Annotated[dict[str, Any], _Open]


class ServicePage(Out):
    items: list[ServiceOut]
    next: str | None = None
