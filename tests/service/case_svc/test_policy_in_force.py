"""The published policy decides from the moment it arrives, in every process, and in no other way."""

import asyncio
import hashlib
import json
import time
from copy import deepcopy

import pytest
import pytest_asyncio
from case_svc.app import create_app
from case_svc.settings import Settings
from sharing import policy
from sqlalchemy import text
from svckit import testing

from tests.service.case_svc.conftest import World

NETWORK = f"pol_{'0' * 26}"
OWN = json.loads(policy.carried().text)
SEEN = ["identity", "coordination", "needs", "outcome"]
# half a second on a machine of its own
WITHIN_S = 5.0


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def alone(database_for, issuer):
    """A service of its own, on a database that hears of policies."""
    url = database_for("case_svc")
    app = create_app(Settings(**issuer.settings(url, replica_wait_s=0.2)))
    async with app.state.db.begin() as tx:
        await tx.execute(text("UPDATE watermark SET at = now() + interval '1 hour'"))
    yield World(app, issuer)
    await app.state.db.dispose()


@pytest_asyncio.fixture(loop_scope="session")
async def shared(alone):
    """A case of a clinic that a food pantry sees, and the pantry; the release's policy after."""
    clinic, pantry = alone.partner("clinic"), alone.partner("social-service")
    case = await alone.case(clinic)
    await alone.grant(clinic, pantry, case["person_id"], SEEN)
    path = f"/v1/cases/{case['id']}"
    # what a test before left unreadable is followed no more
    await until(lambda: answers(pantry, path, 200))
    yield clinic, pantry, path
    await hear(alone, policy.carried().text)


@pytest.fixture(autouse=True)
def _forgotten():
    yield
    policy._last.clear()


def seeing(*classes):
    content = deepcopy(OWN)
    content["ceilings"]["social-service"]["COC"] = list(classes)
    return policy.read(content).text


async def hear(world, written):
    """Let the consumer take the publication of a text."""
    version = hashlib.sha256(written.encode()).hexdigest()
    change = {"version": version, "previous": None, "canonical": written}
    await world.tell("policy.published", NETWORK, {"custodian_id": "org_x"}, **change)
    return version


async def until(holds):
    deadline = time.monotonic() + WITHIN_S
    while not await holds():
        assert time.monotonic() < deadline, f"not within {WITHIN_S} s"
        await asyncio.sleep(0.02)


async def body(partner, path, **params):
    return (await partner.get(path, **params)).json()


async def test_get_list_count_and_filter_follow_the_policy_without_a_restart(alone, shared):
    _, pantry, path = shared
    assert "status" in await pantry.read(path)
    await hear(alone, seeing("coordination"))
    await until(lambda: gone(pantry, path, "status"))
    (listed,) = (await pantry.read("/v1/cases"))["items"]
    assert "status" not in listed
    await hear(alone, seeing("financial"))
    await until(lambda: answers(pantry, path, 404))
    assert (await pantry.read("/v1/cases"))["items"] == []
    assert (await pantry.read("/v1/cases/count"))["count"] == 0
    await hear(alone, seeing(*SEEN))
    await until(lambda: answers(pantry, path, 200))
    assert "status" in await pantry.read(path)
    assert (await pantry.read("/v1/cases/count"))["count"] == 1


async def gone(partner, path, field):
    return field not in await partner.read(path)


async def answers(partner, path, status):
    return (await partner.get(path)).status_code == status


async def test_a_new_process_begins_with_it_and_another_one_follows(alone, shared, issuer):
    _, pantry, path = shared
    await hear(alone, seeing("financial"))
    policy._last.clear()
    other = create_app(Settings(**issuer.settings(alone.db.url, replica_wait_s=0.2)))
    try:
        elsewhere = World(other, issuer).acting(pantry)
        assert (await elsewhere.get(path)).status_code == 404
        # heard by the first; the other's own consumer never runs
        await hear(alone, seeing(*SEEN))
        await until(lambda: answers(elsewhere, path, 200))
    finally:
        await other.state.db.dispose()


async def test_what_this_release_cannot_read_refuses_instead_of_being_left_aside(alone, shared):
    clinic, pantry, path = shared
    await hear(alone, seeing(*SEEN))
    await until(lambda: answers(pantry, path, 200))
    probe = testing.client_for(alone.app)
    assert (await probe.get("/readyz")).json()["rights"] == "fresh"
    for newer in ({**OWN, "floors": {}}, {**OWN, "ceilings": {"hospice": {"COC": "all"}}}):
        await hear(alone, policy.canonical(newer).decode())
        await until(lambda: answers(pantry, path, 503))
        assert (await body(pantry, path))["code"] == "rights-stale"
        assert (await pantry.get("/v1/cases")).status_code == 503
        assert (await clinic.get(path)).status_code == 200, "its own is served"
        assert (await probe.get("/readyz")).json()["rights"] == "policy-unreadable"
        await hear(alone, seeing(*SEEN))
        await until(lambda: answers(pantry, path, 200))
    assert (await probe.get("/readyz")).json()["rights"] == "fresh"


async def test_a_process_that_never_read_a_policy_it_knows_is_not_ready(alone, shared, issuer):
    await hear(alone, policy.canonical({**OWN, "floors": {}}).decode())
    other = create_app(Settings(**issuer.settings(alone.db.url, replica_wait_s=0.2)))
    try:
        answer = await testing.client_for(other).get("/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "policy-unreadable")
    finally:
        await other.state.db.dispose()


async def test_a_text_that_is_not_what_its_version_names_decides_nothing(alone, shared):
    _, pantry, path = shared
    await until(lambda: answers(pantry, path, 200))
    async with alone.db.begin() as tx:
        await tx.execute(text("UPDATE sharing_policy SET version = repeat('a', 64)"))
    await until(lambda: answers(pantry, path, 503))


async def test_the_answer_names_the_version_that_decided(alone, shared):
    _, pantry, path = shared
    version = await hear(alone, seeing("coordination"))
    await until(lambda: gone(pantry, path, "status"))
    told = (await pantry.get(path)).headers["careloop-disclosed"]
    assert told.startswith(f"@{version};case|")
