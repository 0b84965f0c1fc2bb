"""How an endpoint is reached: headers of its own, a client certificate, a token; and what is shown."""

import asyncio
import base64
import contextlib
import ssl
from collections import deque
from datetime import timedelta
from ipaddress import ip_address
from types import SimpleNamespace

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from notify_svc.actions.resealing import reseal
from notify_svc.domain.sealing import Sealer, is_sealed
from svckit.clock import now

from tests.service.notify_svc.conftest import key, match

PATH = "/v1/webhook-endpoints"
SECRETS = ("s3cr3t-value", "BEGIN PRIVATE", "BEGIN EC PRIVATE")


@pytest.fixture
async def clinic(world):
    return await world.organisation()


class Authority:
    """A certificate authority of the test's own, and what it issues."""

    def __init__(self, folder):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
        self._folder = folder
        made = self._build(self._name, self._key.public_key(), is_ca=True)
        self.file = folder / "ca.pem"
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def _build(self, name, public, *, is_ca=False, days=1):
        server = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now() - timedelta(days=9))
            .not_valid_after(now() + timedelta(days=days))
            .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
            .add_extension(server, critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def issue(self, name="client", **more):
        own = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._build(subject, own.public_key(), **more)
        pem = serialization.Encoding.PEM
        return SimpleNamespace(
            chain=made.public_bytes(pem).decode(),
            private_key=own.private_bytes(
                pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ).decode(),
            sha256=made.fingerprint(hashes.SHA256()).hex(),
        )

    def server(self, *, wants_client=False):
        issued = self.issue("server")
        path = self._folder / "server.pem"
        path.write_text(issued.private_key + issued.chain)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        if wants_client:
            context.load_verify_locations(self.file)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@contextlib.asynccontextmanager
async def serving(handler, context=None):
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def pair(issued):
    return {"client_certificate": {"chain": issued.chain, "private_key": issued.private_key}}


async def attempted(world, clinic, **settings):
    """Send one event, once, and return its attempt."""
    await world.happened("case.opened", clinic)
    async with world.sender(**settings) as loop:
        await loop.step()
        await loop.idle()
    return (await world.delivery(clinic))["attempts"][0]


async def test_headers_of_ones_own_are_sent_and_never_shown(world, clinic, receiver):
    headers = {"X-Api-Key": "s3cr3t-value", "Authorization": "Basic czNjcjN0"}
    made = await world.endpoint(clinic, receiver.url, transport={"headers": headers})
    assert made["transport"]["headers"] == ["x-api-key", "authorization"]
    client = world.client(clinic)
    for answer in (await client.get(f"{PATH}/{made['id']}"), await client.get(PATH)):
        assert "s3cr3t" not in answer.text
        assert "czNjcjN0" not in answer.text
    assert (await attempted(world, clinic))["outcome"] == "delivered"
    [got] = receiver.got
    assert (got.headers["x-api-key"], got.headers["authorization"]) == tuple(headers.values())


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"content-length": "1"},
        {"Webhook-Signature": "v1,x"},
        {"Connection": "close"},
        {"Transfer-Encoding": "chunked"},
        {"Host": "elsewhere.example"},
        {"Proxy-Authorization": "x"},
        {"X-Forwarded-For": "10.0.0.1"},
        {"Traceparent": "00"},
        {"X A": "x"},
        {"X-A": "x\r\nX-B: y"},
        {"X-A": "x", "x-a": "y"},
        {"X-A": ""},
        {"": "x"},
        {f"X-{number}": "x" for number in range(11)},
    ],
)
async def test_a_header_that_is_not_free_is_refused_and_nothing_is_registered(
    world, clinic, receiver, headers
):
    client = world.client(clinic)
    body = {"url": receiver.url, "transport": {"headers": headers}}
    answer = await client.post(PATH, json=body, headers=key())
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/transport/headers"
    assert (await client.get(PATH)).json()["items"] == []


async def test_a_server_that_demands_a_client_certificate_gets_it(world, clinic, authority):
    met = []

    async def answer(request):
        met.append(request.transport.get_extra_info("peercert")["subject"])
        return web.Response(status=204)

    issued = authority.issue("careloop")
    async with serving(answer, authority.server(wants_client=True)) as url:
        made = await world.endpoint(clinic, url, transport=pair(issued))
        found = await attempted(world, clinic, ca_file=authority.file)
    assert found["outcome"] == "delivered"
    assert met == [((("commonName", "careloop"),),)]
    shown = made["transport"]["client_certificate"]
    assert shown["sha256"] == issued.sha256
    assert "PRIVATE KEY" not in str(made)


async def test_without_the_certificate_the_same_server_is_not_reached(world, clinic, authority):
    async def answer(_):
        raise AssertionError("reached")

    async with serving(answer, authority.server(wants_client=True)) as url:
        await world.endpoint(clinic, url)
        found = await attempted(world, clinic, ca_file=authority.file)
    assert (found["outcome"], found["error"]) in {("failed", "tls"), ("failed", "connection")}


async def test_a_server_that_nobody_we_trust_vouches_for_is_a_fault_of_tls(
    world, clinic, authority
):
    async def answer(_):
        raise AssertionError("reached")

    async with serving(answer, authority.server()) as url:
        await world.endpoint(clinic, url)
        assert (await attempted(world, clinic))["error"] == "tls"


@pytest.mark.parametrize("fault", ["another key", "no certificate", "no key", "expired", "http"])
async def test_a_certificate_that_cannot_be_used_is_refused(world, clinic, authority, fault):
    issued, other = authority.issue(), authority.issue()
    given, url = pair(issued), "https://127.0.0.1:9/hook"
    where = "private_key" if fault in {"another key", "no key"} else "chain"
    pointer = f"#/transport/client_certificate/{where}"
    if fault == "another key":
        given["client_certificate"]["private_key"] = other.private_key
    elif fault == "no certificate":
        given["client_certificate"]["chain"] = "nonsense"
    elif fault == "no key":
        given["client_certificate"]["private_key"] = "nonsense"
    elif fault == "expired":
        given = pair(authority.issue(days=-1))
    else:
        url, pointer = "http://127.0.0.1:9/hook", "#/transport/client_certificate"
    body = {"url": url, "transport": given}
    answer = await world.client(clinic).post(PATH, json=body, headers=key())
    assert (answer.status_code, answer.json()["code"]) == (422, "webhook-transport-refused")
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert not any(secret in answer.text for secret in SECRETS)


class Issuer:
    """A partner's token endpoint; each token it gives out is another."""

    def __init__(self):
        self.asked, self.answers, self.tokens = [], deque(), []
        self.expires_in = 3600

    async def handle(self, request):
        self.asked.append((request.headers["authorization"], dict(await request.post())))
        if self.answers:
            return self.answers.popleft()
        self.tokens.append(f"token-{len(self.tokens)}")
        body = {"access_token": self.tokens[-1], "token_type": "Bearer"}
        return web.json_response({**body, "expires_in": self.expires_in})


@pytest.fixture
async def tokens():
    found = Issuer()
    async with serving(found.handle) as found.url:
        yield found


def oauth(tokens, **more):
    asked = {"token_url": f"{tokens.url}/token", "client_id": "care:loop", **more}
    return {"oauth": {**asked, "client_secret": "s3cr3t-value"}}


async def test_a_token_is_asked_for_once_and_sent_until_it_ends(world, clinic, receiver, tokens):
    made = await world.endpoint(clinic, receiver.url, transport=oauth(tokens, scope="hooks"))
    assert made["transport"]["oauth"] == {
        "token_url": f"{tokens.url}/token",
        "client_id": "care:loop",
        "scope": "hooks",
    }
    for _ in range(3):
        await world.happened("case.changed", clinic)
    await world.deliver()
    assert {got.headers["authorization"] for got in receiver.got} == {"Bearer token-0"}
    [(basic, form)] = tokens.asked
    assert base64.b64decode(basic.removeprefix("Basic ")) == b"care%3Aloop:s3cr3t-value"
    assert form == {"grant_type": "client_credentials", "scope": "hooks"}


async def test_a_token_that_has_ended_is_replaced(world, clinic, receiver, tokens):
    tokens.expires_in = 0.01
    await world.endpoint(clinic, receiver.url, transport=oauth(tokens))
    async with world.sender() as loop:
        for _ in range(2):
            await world.happened("case.changed", clinic)
            await loop.step()
            await loop.idle()
            await asyncio.sleep(0.02)
    assert [got.headers["authorization"] for got in receiver.got] == [
        "Bearer token-0",
        "Bearer token-1",
    ]


async def test_a_token_that_is_refused_is_replaced_once_within_the_attempt(
    world, clinic, receiver, tokens
):
    receiver.will_answer((401, {}))
    await world.endpoint(clinic, receiver.url, transport=oauth(tokens))
    found = await attempted(world, clinic)
    assert (found["outcome"], found["number"]) == ("delivered", 1)
    assert [got.headers["authorization"] for got in receiver.got] == [
        "Bearer token-0",
        "Bearer token-1",
    ]


async def test_a_receiver_that_refuses_every_token_is_asked_twice_and_no_more(
    world, clinic, receiver, tokens
):
    receiver.will_answer((401, {}), (401, {}))
    await world.endpoint(clinic, receiver.url, transport=oauth(tokens))
    found = await attempted(world, clinic)
    assert (found["outcome"], found["response_status"]) == ("failed", 401)
    assert len(receiver.got) == len(tokens.asked) == 2


@pytest.mark.parametrize(
    "case",
    [
        (web.Response(status=401), "token-status-401"),
        (web.Response(status=302, headers={"Location": "http://127.0.0.1:9/"}), "token-status-302"),
        (web.Response(text="nonsense"), "token-malformed"),
        (web.json_response({"access_token": "x"}), "token-malformed"),
        (web.json_response({"access_token": "a\nb", "token_type": "bearer"}), "token-malformed"),
        (web.Response(body=b"x" * 100_000), "token-malformed"),
    ],
    ids=["refused", "redirected", "no JSON", "no type", "no header", "too long"],
)
async def test_a_fault_of_the_token_endpoint_is_shown_as_such(
    world, clinic, receiver, tokens, case
):
    answer, error = case
    tokens.answers.append(answer)
    await world.endpoint(clinic, receiver.url, transport=oauth(tokens))
    found = await attempted(world, clinic)
    assert (found["outcome"], found["error"], found["response_status"]) == ("failed", error, None)
    assert receiver.got == []


async def test_a_token_endpoint_that_is_not_there_is_shown_as_such(world, clinic, receiver):
    nowhere = SimpleNamespace(url="http://127.0.0.1:9")
    await world.endpoint(clinic, receiver.url, transport=oauth(nowhere))
    assert (await attempted(world, clinic))["error"] == "token-connection"


async def test_a_token_endpoint_stands_behind_the_same_guard(world, clinic, tokens):
    await world.endpoint(clinic, "https://192.0.2.1/", transport=oauth(tokens))
    found = await attempted(world, clinic, allow_private_targets=False)
    assert found["error"] == "token-address-denied"
    assert tokens.asked == []


async def test_a_token_and_an_authorization_header_exclude_each_other(
    world, clinic, receiver, tokens
):
    asked = {**oauth(tokens), "headers": {"Authorization": "x"}}
    body = {"url": receiver.url, "transport": asked}
    answer = await world.client(clinic).post(PATH, json=body, headers=key())
    assert answer.json()["errors"][0]["pointer"] == "#/transport/headers"


async def test_what_was_sealed_for_one_server_does_not_go_to_another(world, clinic, receiver):
    given = {"headers": {"X-Api-Key": "s3cr3t-value"}}
    made = await world.endpoint(clinic, receiver.url, transport=given)
    client, path = world.client(clinic), f"{PATH}/{made['id']}"
    elsewhere = {"url": "http://127.0.0.1:9/"}
    refused = await client.patch(path, json=elsewhere, headers=match(1))
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "#/transport")
    same = await client.patch(path, json={"url": f"{receiver.url}/2"}, headers=match(1))
    assert same.status_code == 200
    with_it = {**elsewhere, "transport": given}
    assert (await client.patch(path, json=with_it, headers=match(2))).status_code == 200
    gone = await client.patch(path, json={"transport": None}, headers=match(3))
    assert gone.json()["transport"] is None
    assert (await client.patch(path, json={"url": receiver.url}, headers=match(4))).json()


async def stored(world):
    found = await world.sql(
        "SELECT value FROM webhook_secret"
        " UNION ALL SELECT sealed FROM webhook_endpoint WHERE sealed IS NOT NULL"
    )
    return list(found.scalars())


async def test_no_secret_lies_open_in_the_database(world, clinic, authority, tokens):
    url = "https://127.0.0.1:9/hook"
    asked = {**oauth(tokens), **pair(authority.issue()), "headers": {"X-A": "s3cr3t-value"}}
    v1 = await world.endpoint(clinic, url, transport=asked)
    await world.endpoint(clinic, url, signature="v1a")
    dump = []
    for table in ("webhook_endpoint", "webhook_secret", "idempotency", "audit", "outbox"):
        found = await world.sql(f"SELECT * FROM {table}")
        dump += [repr(tuple(row)) for row in found]
    for secret in (*SECRETS, v1["secret"], "whsec_", "whsk_"):
        assert not any(secret in row for row in dump)
    assert all(is_sealed(value) for value in await stored(world))


async def test_secrets_are_brought_under_a_new_key_and_still_sign(world, clinic, receiver):
    old, new = world.settings.sealing_keys.get_secret_value(), "1" * 64
    given = {"headers": {"X-A": "s3cr3t-value"}}
    await world.endpoint(clinic, receiver.url, transport=given)
    await world.sql("UPDATE webhook_secret SET value = 'whsec_' || repeat('A', 32)")
    both = type(world.settings.sealing_keys)(f"{new},{old}")
    sealer = world.settings.model_copy(update={"sealing_keys": both}).sealer()
    async with world.db.begin() as tx:
        assert await reseal(tx, sealer) == 2
    async with world.db.begin() as tx:
        assert await reseal(tx, sealer) == 0
    alone = Sealer([bytes.fromhex(new)])
    assert all(alone.is_current(value) for value in await stored(world))
    only_new = type(world.settings.sealing_keys)(new)
    assert (await attempted(world, clinic, sealing_keys=only_new))["outcome"] == "delivered"
    assert receiver.got[0].headers["x-a"] == "s3cr3t-value"


async def test_a_key_that_is_missing_is_our_fault_and_costs_the_endpoint_nothing(
    world, clinic, receiver
):
    await world.endpoint(clinic, receiver.url)
    other = type(world.settings.sealing_keys)("2" * 64)
    found = await attempted(world, clinic, sealing_keys=other)
    assert (found["outcome"], found["error"]) == ("deferred", "secret-unavailable")
    assert (await world.delivery(clinic))["status"] == "pending"
    assert receiver.got == []


async def test_the_public_key_is_shown_whenever_it_is_asked_for(world, clinic, receiver):
    made = await world.endpoint(clinic, receiver.url, signature="v1a")
    client, path = world.client(clinic), f"{PATH}/{made['id']}"
    assert (await client.get(path)).json()["public_key"] == made["secret"]
    rotated = await client.post(f"{path}/rotate-secret", headers={**key(), **match(1)})
    shown = (await client.get(path)).json()["public_key"]
    assert shown == rotated.json()["secret"] != made["secret"]


class Proxy:
    """A proxy for plain requests: it notes what it is asked for and answers itself."""

    def __init__(self):
        self.asked = []

    async def handle(self, request):
        self.asked.append(str(request.url))
        return web.Response(status=204)


async def test_webhooks_leave_by_the_proxy_where_there_is_one(world, clinic):
    proxy = Proxy()
    await world.endpoint(clinic, "http://partner.example/hook")
    async with serving(proxy.handle) as url:
        found = await attempted(world, clinic, egress_proxy=url)
    assert found["outcome"] == "delivered"
    assert proxy.asked == ["http://partner.example/hook"]


async def test_a_proxy_that_is_down_is_not_charged_to_the_endpoint(world, clinic, receiver):
    made = await world.endpoint(clinic, receiver.url)
    found = await attempted(world, clinic, egress_proxy="http://127.0.0.1:9")
    assert (found["outcome"], found["error"]) == ("deferred", "egress-proxy")
    step = await world.sql("SELECT step FROM delivery")
    assert step.scalar_one() == 0
    shown = await world.client(clinic).get(f"{PATH}/{made['id']}")
    assert (shown.json()["breaker"], shown.json()["p95_ms"]) == ("closed", None)
    await world.sql("UPDATE delivery SET next_at = now()")
    await world.deliver()
    assert len(receiver.got) == 1
