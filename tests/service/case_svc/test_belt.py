"""The seat-belt of case-svc: it hides nothing that the rule shows, and holds where no rule asks."""

import random

import pytest_asyncio
from case_svc.models import CaseFile, TimelineEntry
from case_svc.models.base import InCase
from case_svc.queries import cases, persons, tasks, types
from case_svc.queries.cases import CaseFilter
from case_svc.queries.tasks import TaskFilter
from case_svc.queries.visible import case_mask, row_mask, shows_case, shows_row
from sharing import sql
from sqlalchemy import select, true
from svckit.clock import now
from svckit.identity import Caller

from tests import belts
from tests.service.case_svc.conftest import PURPOSE
from tests.service.case_svc.test_access import COC, addresses, filled

__all__ = ["filled"]

CLASSES = [*COC, "clinical", "substance-use", "behavioral", "financial"]
BASES = ["consent", "referral", "care-team", "treatment", "emergency", "legal"]
FILLED = (
    *("case_file", "person", "client_record", "case_reader", "person_reader", "task_reader"),
    *("need", "assessment", "goal", "activity", "task", "note", "decision", "party"),
    *("timeline_entry", "case_phase", "external_number", "sharing_grant", "sharing_agreement"),
    "past_row",
)


async def rows_of(model, session, caller):
    of_case, seen = sql.lateral(case_mask(caller)), sql.lateral(row_mask(caller, model))
    statement = (
        select(model.id, seen.c.mask)
        .join(CaseFile, CaseFile.id == model.case_id)
        .join(of_case, true())
        .join(seen, true())
        .where(shows_case(of_case.c.mask), shows_row(seen.c.mask, model))
    )
    return sorted(map(tuple, await session.execute(statement)))


def every_row_of(model):
    async def read(session, caller):
        return await rows_of(model, session, caller)

    return read


async def listed(session, caller):
    found = []
    for wanted in (CaseFilter(), CaseFilter(number="E-1"), CaseFilter(worker="worker-7")):
        page = await cases.list_cases(session, caller, wanted, None, 500)
        assert await cases.count_cases(session, caller, wanted) == len(page)
        found += [(seen.row.id, seen.mask) for seen in page]
    for seen in found[:2]:
        shown, counts = await cases.get_counted(session, caller, seen[0])
        found.append((shown.row.id, counts))
        stays = await cases.list_phases(session, shown.row.id)
        found += [(stay.case_id, stay.place) for stay in stays]
    return found


async def people(session, caller):
    page = {"number": None, "after": None, "limit": 500}
    found = []
    for q in (None, "abbas"):
        for person, records in await persons.list_persons(session, caller, q=q, **page):
            found.append((person.id, [(seen.row.id, seen.mask) for seen in records]))
    for person, _ in found[:2]:
        _, records = await persons.get_person(session, caller, person)
        found += [(seen.row.id, seen.mask) for seen in records]
    return found


async def worklist(session, caller):
    found = await tasks.list_tasks(session, caller, TaskFilter(), None, 500)
    return [(seen.row.id, seen.mask) for seen in found]


async def templates(session, caller):
    page = {"code": None, "status": None, "after": None, "limit": 500}
    return [one.id for one in await types.list_types(session, caller, **page)]


MODELS = [*InCase.__subclasses__(), TimelineEntry]
READS = [listed, people, worklist, templates]
READS += [every_row_of(model) for model in MODELS]


@pytest_asyncio.fixture(loop_scope="session")
async def network(world, clinic, filled):
    """Grants of every basis, for one case or all, in force or ended; words for and against them."""
    draw = random.Random(7)
    kinds = ("clinic", "social-service", "payer", "coordinator", "clinic")
    readers = [world.partner(kind) for kind in kinds]
    await clinic.move(f"/v1/cases/{filled['id']}/enter-phase", 2, phase="planning")
    files = [filled]
    for number in range(5):
        person = filled["person_id"] if number < 2 else None
        files.append(await world.case(clinic, person, needs=[{"category": "stress"}]))
        path = f"/v1/cases/{files[-1]['id']}"
        await clinic.make(
            f"{path}/notes", kind="contact", text="x", confidentiality="NRV"[number % 3]
        )
        await clinic.make(f"{path}/notes", kind="clinical", text="x", labels=["SUD"])
        await clinic.make(f"{path}/tasks", title="t")
    for reader in readers:
        for file in draw.sample(files, 4):
            grant = await world.grant(
                clinic,
                reader,
                file["person_id"],
                draw.sample(CLASSES, draw.randint(1, len(CLASSES))),
                case=draw.choice([None, file["id"]]),
                basis=draw.choice(BASES),
                confidentiality=draw.choice("NRV"),
            )
            if draw.random() < 0.2:
                await world.end(grant, clinic, file["person_id"])
        await world.permit(reader, filled["person_id"], ["substance-use"])
    wide = readers[1]
    await world.grant(clinic, wide, filled["person_id"], COC)
    await wide.make(f"/v1/cases/{filled['id']}/notes", kind="contact", text="theirs")
    await wide.make(f"/v1/cases/{filled['id']}/tasks", title="theirs")
    # opened after the grants: whoever may see the person's cases finds it as well
    files.append(await world.case(clinic, filled["person_id"]))
    await clinic.move(f"/v1/cases/{files[2]['id']}/seal", 1, reason="safety")
    await clinic.patch(f"/v1/cases/{files[3]['id']}", 1, confidentiality="R")
    return [*readers, clinic, world.partner("clinic")]


async def test_the_belt_hides_nothing_that_the_rule_shows(world, network):
    callers = [
        Caller(reader.id, reader.kind, "cli", "worker", purpose, frozenset(), "jti")
        for reader in network
        for purpose in (PURPOSE[reader.kind], "ETREAT")
    ]
    single = await belts.by_id(world.db, CaseFile, cases.get_case)
    compared = await belts.same_with_and_without(world.db, [single, *READS], callers)
    assert compared > 300


async def test_an_outsider_reads_no_row_where_no_rule_asks(world, network):
    # types of cases without an organisation are the network's
    await belts.is_outside(world.db, network[-1].id, filled=FILLED, public={"case_type"})


async def test_a_partner_reads_what_was_opened_to_it_and_nothing_beside(world, clinic, pantry):
    mine, other = await world.case(clinic), await world.case(clinic)
    await world.grant(clinic, pantry, mine["person_id"], COC, case=mine["id"])
    async with world.db.read_as(pantry.id) as session:
        assert list(await session.scalars(select(CaseFile.id))) == [mine["id"]]
        entries = set(await session.scalars(select(TimelineEntry.case_id)))
        assert entries == {mine["id"]}
    async with world.db.read_as(clinic.id) as session:
        assert {mine["id"], other["id"]} == set(await session.scalars(select(CaseFile.id)))


async def test_every_read_of_the_api_wears_it(world, clinic, filled):
    lists = ("cases", "cases/count", "persons", "tasks", "case-types")
    paths = [*addresses(filled), *(f"/v1/{noun}" for noun in lists)]
    paths.append(f"/v1/persons/{filled['person_id']}")
    at = f"?as_of={now():%Y-%m-%dT%H:%M:%S.%fZ}"
    paths += [f"{path}{at}" for path in addresses(filled) if "/v1/cases/" in path]
    paths += ["/v1/cases/export", f"/v1/cases/{filled['id']}/export"]
    await belts.wears_it(world.db, clinic.http, paths)
