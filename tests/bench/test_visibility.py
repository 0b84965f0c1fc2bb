"""What scoping costs: a page of 50 out of 300,000 cases in the service, beside two other ways.

Ours is the statement of `GET /v1/cases` as the service runs it, rule, mask and seat-belt included. The
unscoped query reads the same page with no rule at all: the floor. One check a row walks the newest
cases and asks of each, until 50 are visible: what a policy engine beside the database comes to.
"""

import time
from functools import partial
from statistics import median

import pytest
from case_svc.app import create_app
from case_svc.models import CaseFile
from case_svc.queries import cases
from case_svc.queries.cases import CaseFilter
from case_svc.settings import Settings
from sqlalchemy import select
from svckit.errors import NotFound
from svckit.identity import Caller
from svckit.ids import new_id

from tests.bench.cases import PARTNERS, fill

CASES = 300_000
PAGE = 51  # a page of 50 and the one that tells whether there are more
RUNS = 41
CHECKS = 200


@pytest.fixture
async def network(database_for, issuer):
    app = create_app(Settings(**issuer.settings(database_for("case_svc"))))
    clinic, partners = new_id("org"), {share: new_id("org") for share in PARTNERS}
    await fill(app.state.db.engine, CASES, clinic, partners)
    yield app.state.db, clinic, partners
    await app.state.db.dispose()


def reader(organisation_id, kind="clinic"):
    return Caller(organisation_id, kind, "cli", None, "TREAT", frozenset(), "jti")


async def best(work):
    """Return the median and the least milliseconds of RUNS."""
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        assert len(await work()) == PAGE
        times.append((time.perf_counter() - started) * 1000)
    return median(times), min(times)


async def one_check(session, caller):
    """Return the milliseconds of one check of one row, over CHECKS rows."""
    started = time.perf_counter()
    for number in range(CASES, CASES - CHECKS, -1):
        try:
            await cases.get_case(session, caller, f"cas_{number:026}")
        except NotFound:
            continue
    return (time.perf_counter() - started) * 1000 / CHECKS


async def test_a_page_costs_what_it_shows_not_what_it_hides(network, capsys):
    db, clinic, partners = network
    async with db.read() as session:
        newest = select(CaseFile).order_by(CaseFile.id.desc()).limit(PAGE)

        async def unscoped():
            return (await session.scalars(newest)).all()

        floor = await best(unscoped)
        lines = [f"{'unscoped':>10}  p50 {floor[0]:5.2f} ms  best {floor[1]:5.2f} ms"]
        for share, organisation in {**partners, "100 %": clinic}.items():
            caller = reader(organisation)

            async def ours(reading=session, caller=caller):
                return await cases.list_cases(reading, caller, CaseFilter(), None, PAGE)

            _, bare = await best(ours)
            async with db.read_as(organisation) as belted:
                middle, least = await best(partial(ours, belted))
            a_row = await one_check(session, caller)
            rows = PAGE * PARTNERS.get(share, 1)
            lines.append(
                f"{share:>10}  p50 {middle:5.2f} ms  best {least:5.2f} ms"
                f"  {least / floor[1]:4.1f} x unscoped"
                f"  (without the seat-belt {bare:.2f});"
                f"  one check a row: {a_row:.2f} ms x {rows:,} = {a_row * rows:,.0f} ms"
            )
            assert least < a_row * rows
    with capsys.disabled():
        print("\npage of 50 out of 300,000 cases, by the share the organisation sees")
        print("\n".join(lines))
