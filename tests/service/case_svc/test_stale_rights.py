"""Nothing known of the rights: partners are refused, an organisation's own is served."""

import asyncio
import time

import pytest_asyncio
from case_svc.app import create_app
from case_svc.settings import Settings
from sqlalchemy import text

from tests.service.case_svc.conftest import World

SEEN = ["identity", "coordination", "needs", "outcome"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def alone(database_for, issuer):
    """A service of its own: the rights of the others' world stay fresh."""
    app = create_app(Settings(**issuer.settings(database_for("case_svc"), replica_wait_s=0.2)))
    async with app.state.db.begin() as tx:
        await tx.execute(text("UPDATE watermark SET at = now()"))
    yield World(app, issuer)
    await app.state.db.dispose()


async def age(world, seconds):
    """Let the rights be that old, as they are when no mark arrives any more."""
    async with world.db.begin() as tx:
        statement = "UPDATE watermark SET at = now() - make_interval(secs => :s)"
        await tx.execute(text(statement), {"s": seconds})


async def answers(partner, path, status):
    deadline = time.monotonic() + 6
    while (found := await partner.get(path)).status_code != status:
        assert time.monotonic() < deadline, (found.status_code, found.text)
        await asyncio.sleep(0.05)
    return found


async def test_partners_are_refused_while_rights_are_stale_and_served_again_after(alone):
    clinic, pantry = alone.partner("clinic"), alone.partner("social-service")
    await age(alone, 0)
    case = await alone.case(clinic)
    await alone.grant(clinic, pantry, case["person_id"], SEEN)
    paths = (
        *(f"/v1/cases/{case['id']}", "/v1/cases", "/v1/cases/count", "/v1/persons"),
        *(f"/v1/persons/{case['person_id']}", f"/v1/cases/{case['id']}/timeline"),
    )
    for path in paths:
        await answers(pantry, path, 200)
    await age(alone, 6)
    for path in paths:
        refused = await answers(pantry, path, 503)
        assert refused.json()["code"] == "rights-stale"
        assert refused.headers["retry-after"] == "1"
    written = await pantry.post(f"/v1/cases/{case['id']}/notes", kind="contact", text="hello")
    assert (written.status_code, written.json()["code"]) == (503, "rights-stale")
    await age(alone, 0)
    for path in paths:
        await answers(pantry, path, 200)


async def test_what_is_hidden_is_refused_as_what_is_seen(alone):
    """Else a 404 beside a 503 would tell which cases a partner had been given."""
    clinic, outsider = alone.partner("clinic"), alone.partner("clinic")
    await age(alone, 0)
    case = await alone.case(clinic)
    await answers(outsider, f"/v1/cases/{case['id']}", 404)
    await age(alone, 60)
    await answers(outsider, f"/v1/cases/{case['id']}", 503)
    await age(alone, 0)


async def test_an_organisation_goes_on_with_its_own_cases(alone):
    clinic = alone.partner("clinic")
    await age(alone, 0)
    case = await alone.case(clinic)
    await age(alone, 60)
    await answers(alone.partner("clinic"), f"/v1/cases/{case['id']}", 503)
    path = f"/v1/cases/{case['id']}"
    assert (await clinic.get(path)).status_code == 200
    assert [one["id"] for one in (await clinic.read("/v1/cases"))["items"]] == [case["id"]]
    assert (await clinic.read("/v1/cases/count")) == {"count": 1}
    assert (await clinic.post(f"{path}/notes", kind="contact", text="hello")).status_code == 201
    assert (await clinic.get(f"{path}/timeline")).status_code == 200
    await age(alone, 0)


async def test_readiness_says_that_rights_are_stale_and_stays_ready(alone):
    stranger = alone.stranger()
    await age(alone, 0)
    await answers(stranger, "/readyz", 200)
    await age(alone, 60)
    deadline = time.monotonic() + 6
    while (found := await stranger.get("/readyz")).json() != {"status": "ready", "rights": "stale"}:
        assert time.monotonic() < deadline, found.text
        await asyncio.sleep(0.05)
    assert found.status_code == 200
    gauge = 'careloop_rights_age_seconds{consumer="case-svc"}'
    line = next(x for x in (await stranger.get("/metrics")).text.splitlines() if gauge in x)
    assert float(line.split()[-1]) > 59
    await age(alone, 0)


async def test_a_process_is_not_ready_before_it_knew_any_rights(database_for, issuer):
    app = create_app(Settings(**issuer.settings(database_for("case_svc"))))
    world = World(app, issuer)
    async with world.db.begin() as tx:
        await tx.execute(text("DELETE FROM watermark"))
    found = await world.stranger().get("/readyz")
    await app.state.db.dispose()
    assert (found.status_code, found.json()["code"]) == (503, "rights-stale")
