"""The log of attempts: all of them, newest first, found by what a partner knows of them."""

import asyncio

import pytest
from svckit.ids import new_id

PATH = "/v1/delivery-attempts"


@pytest.fixture
async def clinic(world):
    return await world.organisation()


async def search(world, organisation, **params):
    answer = await world.client(organisation).get(PATH, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


@pytest.fixture
async def log(world, clinic, receiver):
    """Two events, the first refused once; returns the events and the endpoint."""
    endpoint = await world.endpoint(clinic, receiver.url)
    receiver.will_answer((500, {}))
    first = await world.happened("case.opened", clinic)
    await world.deliver()
    return first, await told(world, clinic), endpoint


async def told(world, clinic):
    event = await world.happened("note.added", clinic)
    await world.deliver()
    return event


async def test_every_attempt_is_there_newest_first(world, clinic, log):
    first, second, endpoint = log
    items = await search(world, clinic)
    assert [
        (one["event_id"], one["number"], one["outcome"], one["response_status"]) for one in items
    ] == [
        (second.id, 1, "delivered", 204),
        (first.id, 2, "delivered", 204),
        (first.id, 1, "failed", 500),
    ]
    shown = await world.delivery(clinic, items[1]["delivery_id"])
    of_first = [{name: one[name] for name in shown["attempts"][0]} for one in items[1:]]
    assert of_first == shown["attempts"][::-1]
    assert {one["endpoint_id"] for one in items} == {endpoint["id"]}
    assert items[0]["event_type"] == "org.careloop.note.added.v1"
    assert all(0 <= one["duration_ms"] < 60_000 for one in items)


async def test_it_is_searched_by_what_is_known_of_an_attempt(world, clinic, log, receiver):
    first, second, endpoint = log
    refused, again, other = (await search(world, clinic))[::-1]
    elsewhere = {
        "endpoint_id": new_id("whe"),
        "event_id": new_id("evt"),
        "delivery_id": new_id("dlv"),
    }
    for params, found in (
        ({"outcome": "failed"}, [refused]),
        ({"outcome": ["failed", "delivered"]}, [other, again, refused]),
        ({"response_status": 500}, [refused]),
        ({"event_id": first.id}, [again, refused]),
        ({"delivery_id": other["delivery_id"]}, [other]),
        ({"endpoint_id": endpoint["id"], "event_id": second.id}, [other]),
        ({"since": again["started_at"]}, [other, again]),
        ({"until": again["started_at"]}, [refused]),
        ({"error": "timeout"}, []),
        *(({name: value}, []) for name, value in elsewhere.items()),
    ):
        assert await search(world, clinic, **params) == found, params


async def test_why_there_was_no_answer_is_found(world, clinic, receiver):
    await world.endpoint(clinic, "http://127.0.0.1:9/nobody")
    await world.happened("case.opened", clinic)
    await world.deliver()
    [*_, first] = await search(world, clinic)
    assert (first["response_status"], first["outcome"]) == (None, "failed")
    assert first in await search(world, clinic, error=first["error"])


async def test_page_after_page_shows_each_once_also_while_new_ones_come(world, clinic, log):
    found, params = [], {"limit": 1}
    answer = (await world.client(clinic).get(PATH, params=params)).json()
    newest = answer["items"][0]
    await told(world, clinic)
    while True:
        found += answer["items"]
        if answer["next"] is None:
            break
        more = params | {"cursor": answer["next"]}
        answer = (await world.client(clinic).get(PATH, params=more)).json()
    assert found == (await search(world, clinic))[1:]
    assert found[0] == newest


async def test_an_attempt_under_way_is_unknown(world, clinic, receiver):
    await world.endpoint(clinic, receiver.url)
    receiver.release.clear()
    await world.happened("case.opened", clinic)
    async with world.sender() as loop:
        await loop.step()
        await asyncio.wait_for(receiver.arrived.wait(), 10)
        [under_way] = await search(world, clinic, outcome="unknown")
        receiver.release.set()
        await loop.idle()
    assert (under_way["ended_at"], under_way["duration_ms"]) == (None, None)
    assert await search(world, clinic, outcome="unknown") == []


async def test_nobody_reads_the_attempts_of_another(world, clinic, log):
    stranger = await world.organisation()
    assert await search(world, stranger) == []
    mine = (await search(world, clinic))[0]
    for name in ("delivery_id", "event_id", "endpoint_id"):
        assert await search(world, stranger, **{name: mine[name]}) == []
    assert (await world.stranger().get(PATH)).status_code == 401


@pytest.mark.parametrize(
    "params",
    [
        {"outcome": "lost"},
        {"response_status": 99},
        {"since": "yesterday"},
        {"since": "2026-01-01T00:00:00"},
        {"endpoint_id": "' OR 1=1"},
        {"error": "' OR 1=1"},
        {"cursor": "AAAA"},
    ],
)
async def test_what_makes_no_sense_is_refused(world, clinic, params):
    answer = await world.client(clinic).get(PATH, params=params)
    assert answer.status_code in {400, 422}
    assert answer.json()["code"]
