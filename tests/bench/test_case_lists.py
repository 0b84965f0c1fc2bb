"""Lists of 100,000 cases: a page costs the same at the beginning and deep inside.

One custodian holds all of them; partners see 0.1, 2 and 20 % by grants. The pages are asked for
over HTTP (in process) with everything a request does: token, mask, projection, cursor.
"""

import time
from urllib.parse import urlencode

import pytest
from case_svc.app import create_app
from case_svc.settings import Settings
from starlette.requests import Request
from svckit import testing
from svckit.ids import new_id
from svckit.paging import Page

from tests.bench.cases import PARTNERS, fill

CASES = 100_000
RUNS = 31
RATIO_AT_MOST = 2.0


@pytest.fixture
async def network(database_for, issuer):
    """A custodian of all cases, partners by share, and the app."""
    app = create_app(Settings(**issuer.settings(database_for("case_svc"))))
    clinic, partners = new_id("org"), {share: new_id("org") for share in PARTNERS}
    await fill(app.state.db.engine, CASES, clinic, partners)
    yield app, {"100 %": clinic, **partners}
    await app.state.db.dispose()


async def milliseconds(client, params):
    started = time.perf_counter()
    answer = await client.get("/v1/cases", params=params)
    took = (time.perf_counter() - started) * 1000
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["items"]) == 50
    return took


def cursor_at(app, organisation, number, params):
    """The cursor after the case of that number, as the service signs it."""
    scope = {
        "type": "http",
        "app": app,
        "path": "/v1/cases",
        "query_string": urlencode(params).encode(),
        "headers": [],
    }
    return Page(Request(scope), 50, None)._cursor([f"cas_{number:026}"], organisation)


async def compare(client, deep, params):
    """Return the best times of the first and of a deep page, asked for in turn.

    The best: whatever else the machine does only ever adds.
    """
    times = {"first": [], "deep": []}
    for _ in range(RUNS):
        times["first"].append(await milliseconds(client, params))
        times["deep"].append(await milliseconds(client, {**params, "cursor": deep}))
    return min(times["first"]), min(times["deep"])


async def test_first_and_deep_pages_cost_the_same(network, issuer, capsys):
    app, organisations = network
    report, ratios = [], {}
    for share, organisation in organisations.items():
        for params in ({}, {"status": "active"}):
            # as deep as leaves a whole page behind it
            spacing = PARTNERS.get(share, 1) * (4 if params else 1)
            number = max(CASES // 20, spacing * 60)
            if number > CASES * 0.6:
                continue
            deep = cursor_at(app, organisation, number, params)
            token = issuer.token("case-svc", org=organisation)
            async with testing.client_for(app, token) as client:
                first, late = await compare(client, deep, params)
            name = f"{share}{' active' if params else ''}"
            ratios[name] = max(first, late) / min(first, late)
            report.append(
                f"{name:>14}  first {first:6.1f} ms  deep {late:6.1f} ms  {ratios[name]:.2f} x"
            )
    with capsys.disabled():
        print("\npage of 50 out of 100,000 cases, by the share the organisation sees")
        print("\n".join(report))
    assert max(ratios.values()) <= RATIO_AT_MOST, ratios
