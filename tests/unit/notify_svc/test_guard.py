"""No webhook reaches an address that is not public, whatever the name said when it was registered."""

import asyncio
import contextlib
import socket
from dataclasses import replace

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver
from notify_svc.deliver.post import Poster, Way, headers_of
from notify_svc.domain import signing
from notify_svc.domain.attempts import Answer
from notify_svc.domain.transport import Hidden, Shown
from notify_svc.queries.claims import Claim
from notify_svc.settings import Settings
from svckit.clock import now
from svckit.guarded import AddressDenied, GuardedResolver, refuse_literal
from yarl import URL

BODY = b'{"type":"org.careloop.case.opened.v1"}'


class Names(AbstractResolver):
    """A name server that answers each question with the next of its answers."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0

    async def resolve(self, host, port=0, family=socket.AF_UNSPEC):
        assert family in {socket.AF_UNSPEC, socket.AF_INET}
        self.asked += 1
        addresses = self.answers.pop(0)
        return [
            {"hostname": host, "host": each, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
            for each in addresses
        ]  # fmt: skip

    async def close(self):
        pass


def settings(**more):
    base = {
        "database_url": "postgresql://x/x",
        "event_log_url": "postgresql://x/x",
        "issuer": "http://x",
        "internal_jwks_url": "http://x",
        "cursor_key": "0" * 64,
        "sealing_keys": "0" * 64,
    }
    return Settings(**{**base, "total_timeout_s": 1, "connect_timeout_s": 0.5, **more})


def claim(url):
    return Claim("att_1", "dlv_1", "whe_1", "evt_1", url, BODY, ("whsec_" + "A" * 32,), "")


async def post(url, resolver=None, **more):
    poster = Poster(settings(**more))
    if resolver is not None:
        poster._session.connector._resolver = GuardedResolver(resolver)
    try:
        return await poster.post(claim(url), now())
    finally:
        await poster.close()


@pytest.fixture
async def local():
    """A server on loopback that must never be reached, and its port."""
    reached = []

    async def answer(request):
        reached.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1], reached
    await runner.cleanup()


async def test_private_addresses_are_taken_out_of_an_answer():
    guarded = GuardedResolver(Names(["10.0.0.1", "1.1.1.1", "127.0.0.1"]))
    assert [found["host"] for found in await guarded.resolve("a.example", 443)] == ["1.1.1.1"]


async def test_a_name_with_private_addresses_only_is_denied():
    with pytest.raises(AddressDenied):
        await GuardedResolver(Names(["10.0.0.1", "::1"])).resolve("a.example", 443)


async def test_every_connection_asks_again_so_that_rebinding_is_seen(local):
    port, reached = local
    names = Names(["127.0.0.1"], ["192.168.0.1"])
    for _ in range(2):
        answer = await post(f"http://rebind.example:{port}/", resolver=names)
        assert answer == Answer(error="address-denied")
    assert names.asked == 2
    assert reached == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "127.1", "[::1]"]
)
async def test_a_host_that_is_an_address_itself_is_judged_as_well(local, host):
    port, reached = local
    assert (await post(f"http://{host}:{port}/")).error in {"address-denied", "connection"}
    assert reached == []


async def test_localhost_by_its_name_is_denied_by_the_systems_own_resolver(local):
    port, reached = local
    assert await post(f"http://localhost:{port}/") == Answer(error="address-denied")
    assert reached == []


async def test_a_public_literal_is_no_offence():
    refuse_literal(URL("https://1.1.1.1/"))


async def test_the_sandbox_reaches_loopback(local):
    port, reached = local
    assert await post(f"http://127.0.0.1:{port}/hook", allow_private_targets=True) == Answer(200)
    assert reached == ["/hook"]


async def test_proxies_of_the_environment_are_ignored(local, monkeypatch):
    port, _ = local
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await post(f"http://127.0.0.1:{port}/", allow_private_targets=True)).status == 200


@contextlib.asynccontextmanager
async def serving(handler):
    """A server of raw bytes; at the end every connection of it is closed."""
    busy = set()

    async def handle(reader, writer):
        busy.add(asyncio.current_task())
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(OSError):
            await handler(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.wait_for(asyncio.gather(*busy), 10)


@pytest.mark.parametrize(
    ("head", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n", None),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 50\r\n\r\n\x1f\x8bnot",
            None,
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        (b"nonsense\r\n\r\n", "connection"),
        (b"", "connection"),
    ],
)
async def test_only_the_status_decides_and_a_bad_body_costs_at_most_the_connection(head, error):
    async def answer(_, writer):
        writer.write(head + b"x" * 100_000 if b"9000000000" in head else head)
        await writer.drain()

    async with serving(answer) as port:
        found = await post(f"http://127.0.0.1:{port}/", allow_private_targets=True)
    assert (found.status, found.error) == ((None, error) if error else (200, None))


async def test_a_2xx_whose_body_never_comes_is_a_success():
    done = asyncio.Event()

    async def answer(_, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        await done.wait()

    async with serving(answer) as port:
        found = await post(
            f"http://127.0.0.1:{port}/", allow_private_targets=True, total_timeout_s=3
        )
        done.set()
    assert found == Answer(200)


async def test_the_time_is_bounded_when_nothing_comes():
    async def answer(reader, _):
        await reader.read()

    async with serving(answer) as port:
        found = await post(f"http://127.0.0.1:{port}/", allow_private_targets=True)
    assert found == Answer(error="timeout")


def test_headers_name_the_event_and_the_time_of_the_attempt():
    way = Way(["whsec_" + "A" * 32], Shown(headers=("x-key",)), Hidden({"x-key": "k"}))
    parent = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    found = headers_of(claim("http://x/"), way, 1614265330, parent)
    assert (found["webhook-id"], found["webhook-timestamp"]) == ("evt_1", "1614265330")
    assert found["traceparent"].startswith("00-1111")
    assert found["x-key"] == "k"
    assert "traceparent" not in headers_of(claim("http://x/"), way, 1, "")


async def test_a_replaced_secret_signs_from_its_first_request_on():
    signatures = []

    async def answer(request):
        signatures.append(request.headers["webhook-signature"])
        return web.Response(status=204)

    found = settings(allow_private_targets=True)
    sealer, at = found.sealer(), now()
    old, new = signing.new_secret(), signing.new_secret()
    poster, server = Poster(found), web.ServerRunner(web.Server(answer))
    await server.setup()
    try:
        await web.TCPSite(server, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{server.addresses[0][1]}/"
        for secrets in ((old,), (old,), (new, old), (new,)):
            sealed = tuple(sealer.seal(secret, "whe_1") for secret in secrets)
            await poster.post(replace(claim(url), secrets=sealed), at)
        elsewhere = sealer.seal(new, "whe_2")
        refused = await poster.post(replace(claim("http://127.0.0.1:1/"), secrets=(elsewhere,)), at)
    finally:
        await poster.close()
        await server.cleanup()
    stamp = int(at.timestamp())
    assert signatures == [
        signing.header(secrets, "evt_1", stamp, BODY)
        for secrets in ((old,), (old,), (new, old), (new,))
    ]
    assert refused == Answer(error="secret-unavailable")
