"""The feed as server-sent events, over real connections to the running application."""

import asyncio

import httpx
import pytest
from svckit.disclosure import HEADER, Disclosed, decode

from tests.service.notify_svc.conftest import until
from tests.sse import Reader

NOTE = HEADER.decode()


@pytest.fixture
async def served(world):
    async with world.served() as found:
        yield found


@pytest.fixture
def settings(settings):
    return settings.model_copy(
        update={"feed_heartbeat_s": 0.2, "feed_streams_per_organisation": 2, "feed_streams": 3}
    )


async def test_events_come_with_their_numbers_as_they_happen(world, served):
    clinic = await world.organisation()
    await world.happened("case.opened", clinic)
    async with served.stream(clinic) as reader:
        await until(lambda: reader.ids == ["1"])
        await world.happened("case.changed", clinic)
        await until(lambda: reader.ids == ["1", "2"])
    assert reader.items == (await world.feed(clinic))["items"]
    assert reader.retry_ms == 1000


async def test_a_reader_goes_on_where_it_was(world, served):
    clinic = await world.organisation()
    for _ in range(4):
        await world.happened("case.changed", clinic)
    reader = Reader(last_id="2")
    async with served.stream(clinic, reader, after=0):
        await until(lambda: reader.ids == ["3", "4"])
    async with served.stream(clinic, after=3) as other:
        await until(lambda: other.ids == ["4"])


async def test_filters_narrow_and_the_position_moves_on_all_the_same(world, served):
    clinic = await world.organisation()
    for kind in ("case.opened", "note.added", "note.added"):
        await world.happened(kind, clinic)
    async with served.stream(clinic, type="case.*") as reader:
        await until(lambda: reader.last_id == "3")
    assert reader.ids == ["1"]


async def test_a_silent_stream_says_that_it_is_there(world, served):
    async with served.stream(await world.organisation()) as reader:
        await until(lambda: len(reader.comments) >= 2)
    assert set(reader.comments) == {""}


async def test_what_may_no_longer_be_seen_is_no_longer_told(world, served):
    clinic, agency = await world.organisation(), await world.organisation("social-service")
    grant = await world.grant(clinic, agency, ["coordination"])
    async with served.stream(agency) as reader:
        await world.happened("case.changed", clinic, subject=world.case)
        await until(lambda: reader.ids == ["1"])
        await world.happened("case.changed", clinic, subject=world.case)
        await until(lambda: reader.ids == ["1", "2"])
        await world.end(grant)
        await world.happened("case.changed", clinic, subject=world.case)
        await world.look_who_sees()
        await until(lambda: len(reader.ids) == 3)
    assert reader.items[-1]["type"] == "org.careloop.access.ended.v1"
    # and who reads from the beginning gets the notice alone
    async with served.stream(agency) as reader:
        await until(lambda: reader.ids == ["3"])


async def test_every_batch_says_first_of_whom_it_tells(world, served):
    clinic, agency = await world.organisation(), await world.organisation("social-service")
    await world.grant(clinic, agency, ["coordination"])
    lines = []
    async with served.http(agency) as http:
        head = {"Accept": "text/event-stream"}
        async with http.stream("GET", "/v1/events", headers=head) as answer:
            assert NOTE not in answer.headers
            for number in (1, 2):
                await world.happened("case.changed", clinic)
                async with asyncio.timeout(20):
                    async for line in answer.aiter_lines():
                        lines.append(line)
                        if line == f"id: {number}":
                            break
                [note] = [line for line in lines if line.startswith(f":{NOTE} ")]
                [told] = decode([note.partition(" ")[2].encode()])
                assert told._replace(rules="") == Disclosed("event", clinic, world.person, 4)
                assert lines.index(note) < lines.index(f"id: {number}")
                lines.clear()
                break
    own = []
    await world.happened("case.changed", clinic)
    async with served.stream(clinic) as reader:
        await until(lambda: len(reader.ids) == 2)
        own = [comment for comment in reader.comments if NOTE in comment]
    assert own == []


async def test_a_stream_ends_when_rights_are_not_fresh(world, served):
    clinic = await world.organisation()
    async with served.stream(clinic) as reader:
        await until(lambda: reader.comments)
        await world.sql("UPDATE watermark SET at = now() - interval '1 hour'")
        world.app.state.rights._fresh_until = 0
        await asyncio.wait_for(reader.over, 20)
    assert reader.comments[-1] == "rights-stale"
    async with served.http(clinic) as http:
        answer = await http.get("/v1/events", headers=Reader().headers())
    assert (answer.status_code, answer.json()["code"]) == (503, "rights-stale")


async def test_a_stream_ends_after_its_time_and_when_the_process_does(world, served):
    clinic = await world.organisation()
    streams = world.app.state.streams
    streams._settings = world.settings.model_copy(update={"feed_stream_s": 0.3})
    async with served.stream(clinic) as reader:
        await asyncio.wait_for(reader.over, 20)
    assert reader.comments[-1] == "time-over"
    streams._settings = world.settings
    async with served.stream(clinic) as reader:
        await until(lambda: reader.comments)
        world.app.state.running.stop.set()
        await asyncio.wait_for(reader.over, 20)
    assert reader.comments[-1] == "restarting"


async def test_no_more_streams_are_open_than_may_be(world, served):
    clinic, others = await world.organisation(), await world.organisation()
    async with served.stream(clinic) as reader, served.stream(clinic):
        async with served.http(clinic) as http:
            answer = await http.get("/v1/events", headers=Reader().headers())
            assert (answer.status_code, answer.json()["code"]) == (429, "too-many-streams")
            assert answer.headers["retry-after"]
            # a page can be had all the same
            assert (await http.get("/v1/events")).status_code == 200
        async with served.stream(others), served.http(others) as http:
            answer = await http.get("/v1/events", headers=Reader().headers())
            assert answer.status_code == 429
        await until(lambda: reader.comments)
    streams = world.app.state.streams
    await until(lambda: streams._now.total() == 0)
    async with served.stream(clinic) as reader:
        await until(lambda: reader.comments)


async def test_a_slow_reader_is_not_read_ahead_for(world, served):
    """Of a feed of 8,000 events a reader that takes nothing has the socket's buffers filled, no more."""
    clinic = await world.organisation()
    first = await world.happened("case.changed", clinic)
    await world.sql(
        """
        WITH many AS (
            INSERT INTO message (id, type, kind, subject, version, custodian_id, parties, classes,
                                 body, occurred_at, expires_at)
            SELECT 'evt_' || n, type, kind, subject, 1, custodian_id, '{}', 4,
                   convert_to(json_build_object('x', repeat('x', 4000))::text, 'utf8'), now(), now()
            FROM message, generate_series(1, 8000) n WHERE id = :first RETURNING id)
        INSERT INTO feed_item (organisation_id, seq, message_id, kind)
        SELECT :clinic, 1 + row_number() OVER (), id, 'case.changed' FROM many
        """,
        first=first.id,
        clinic=clinic,
    )
    await world.sql("UPDATE feed_head SET seq = 8001")
    looks = 0
    feed = world.app.state.feed
    look = feed.look

    async def counted(*args):
        nonlocal looks
        looks += 1
        return await look(*args)

    feed.look = counted
    async with (
        served.http(clinic) as http,
        http.stream("GET", "/v1/events", headers=Reader().headers()) as answer,
    ):
        before = -1
        while looks != before:
            before = looks
            await asyncio.sleep(0.3)
        # 8,000 events are 160 batches of 200 kB
        assert 0 < looks < 120, looks
        reader = Reader()
        async for line in answer.aiter_lines():
            reader.take(line)
            if reader.last_id == "8001":
                break
    assert reader.ids == [str(number) for number in range(1, 8002)]


@pytest.mark.parametrize("last_id", ["-1", "x", str(2**63)])
async def test_a_last_event_id_that_is_none_is_refused(world, served, last_id):
    async with served.http(await world.organisation()) as http:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": last_id}
        answer = await http.get("/v1/events", headers=headers)
    assert answer.status_code == 422
    assert "last-event-id" in answer.json()["errors"][0]["pointer"]


async def test_a_stream_needs_the_scope(world, served):
    token = world._issuer.token("notify-svc", org=await world.organisation(), scopes="cases.read")
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, trust_env=False) as http:
        assert (await http.get("/v1/events")).status_code == 403
