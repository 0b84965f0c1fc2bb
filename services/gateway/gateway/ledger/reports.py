"""Loads what a report counts: the caller's own disclosures about one person, in order of time."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now
from svckit.identity import Caller

from gateway import accounting
from gateway.queries import ledger as queries
from gateway.queries import suspensions
from gateway.queries.ledger import Kept


class Report(StrEnum):
    ACCOUNTING = "accounting"
    INTERMEDIARY = "intermediary"
    PERSON = "person"


async def make(
    session: AsyncSession, caller: Caller, report: Report, person_id: str, as_of: datetime | None
) -> dict[str, Any]:
    """Return the report on a person as of an instant, now by default."""
    # the instant of the request itself still counts
    until = as_of or now() + timedelta(microseconds=1)
    years = (
        accounting.INTERMEDIARY_YEARS
        if report is Report.INTERMEDIARY
        else accounting.ACCOUNTING_YEARS
    )
    since = accounting.years_before(until, years)
    found = _bodies(await queries.about(session, caller, person_id, since, until))
    if report is not Report.INTERMEDIARY:
        withheld = await suspensions.agencies(session, caller, person_id, now())
        found = (each for each in found if each["organisation"] not in withheld)
    names = await queries.names_of_organisations(session)
    about = {"person_id": person_id, "custodian_id": caller.organisation_id}
    if report is Report.ACCOUNTING:
        of_law = await queries.references(session, caller, person_id)
        return about | accounting.accounting(found, names, of_law, since=since, until=until)
    if report is Report.INTERMEDIARY:
        return about | accounting.intermediary_list(found, names, since=since, until=until)
    return about | accounting.own_view(found, names)


def _bodies(found: list[Kept]) -> Iterator[dict[str, Any]]:
    for each in found:
        yield orjson.loads(each.body)
