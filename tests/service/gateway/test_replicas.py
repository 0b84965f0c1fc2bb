"""Several gateways, one authorization server: keys that rotate, revocations told at once."""

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from svckit.identity import Verifier

from tests.forgery import claims_of, header_of
from tests.gateway import HTTP, Gateway, Partner, new_key, public_set, replica

AT_ONCE_S = 1.0


@dataclass
class Second:
    """A replica with keys of its own, which polls so seldom that only being told helps."""

    url: str
    key_file: Path

    def keys(self, *arguments: str) -> list[dict[str, Any]]:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "keys", *arguments],
            env={"GATEWAY_KEY_FILE": str(self.key_file), "PATH": ""},
            capture_output=True,
            check=True,
        )
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def second(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Second]:
    folder = tmp_path_factory.mktemp("second")
    key_file = folder / "keys.json"
    with replica(
        gateway,
        folder / "gateway.log",
        key_file=str(key_file),
        revocation_poll_s="60",
        allow_private_jwks="true",
    ) as url:
        yield Second(url, key_file)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def token_of(url: str, partner: Partner) -> str:
    answer = HTTP.post(f"{url}/oauth/token", data=partner.form())
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def seconds_until(done: Callable[[], bool], limit_s: float = 5.0) -> float:
    started = time.monotonic()
    while not done():
        assert time.monotonic() - started < limit_s
    return time.monotonic() - started


def is_open(url: str, token: str) -> bool:
    return HTTP.get(f"{url}/v1/grants", headers=bearer(token)).status_code == 200


# revocation


def test_a_revoked_token_ends_at_once_on_the_other_replica(
    gateway: Gateway, second: Second
) -> None:
    client = gateway.client(gateway.clinic.organisation_id, "TREAT")
    # the same keys are not needed: what is told is the token's id
    token = token_of(second.url, client)
    assert is_open(second.url, token)
    row = f"INSERT INTO revoked_token VALUES ('{_jti(token)}', now() + interval '5 minutes')"
    gateway.sql(row)
    assert is_open(second.url, token), "nobody told it yet, and it does not ask for a minute"
    other = client.token()
    form = client.form(token=other)
    assert HTTP.post(f"{gateway.url}/oauth/revoke", data=form).status_code == 200
    assert seconds_until(lambda: not is_open(second.url, token)) < AT_ONCE_S


def _jti(token: str) -> str:
    return str(claims_of(token)["jti"])


@pytest.mark.parametrize(
    "change",
    [
        {"active": False},
        {"scopes": ["cases.read"]},
        {"jwks": public_set(new_key("ES384"))},
        {"sender_constraint": "dpop"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_is_taken_from_a_client_takes_its_tokens_at_once(
    gateway: Gateway, second: Second, change: dict[str, Any]
) -> None:
    client = gateway.client(gateway.clinic.organisation_id, "TREAT")
    token = token_of(second.url, client)
    assert is_open(second.url, token)
    with gateway.admin.http() as http:
        path = f"/v1/clients/{client.client_id}"
        assert http.patch(path, json=change, headers={"If-Match": '"1"'}).status_code == 200
    assert seconds_until(lambda: not is_open(second.url, token)) < AT_ONCE_S


def test_what_is_added_to_a_client_ends_nothing(gateway: Gateway, second: Second) -> None:
    client = gateway.client(gateway.clinic.organisation_id, "TREAT", scopes="sharing.read")
    token = token_of(second.url, client)
    gone = gateway.client(gateway.clinic.organisation_id, "TREAT")
    theirs = token_of(second.url, gone)
    with gateway.admin.http() as http:
        for path, change in (
            (client, {"scopes": ["cases.read", "sharing.read"], "name": "more"}),
            (gone, {"active": False}),
        ):
            url = f"/v1/clients/{path.client_id}"
            assert http.patch(url, json=change, headers={"If-Match": '"1"'}).status_code == 200
    seconds_until(lambda: not is_open(second.url, theirs))
    assert is_open(second.url, token)


def test_a_cut_connection_is_made_again_and_nothing_is_missed(
    gateway: Gateway, second: Second
) -> None:
    """The first gateway polls twice a second: what it is not told it finds."""
    client = gateway.client(gateway.clinic.organisation_id, "TREAT")
    token = client.token()
    assert is_open(gateway.url, token)
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
    gateway.sql(cut)
    form = client.form(token=token)
    assert HTTP.post(f"{second.url}/oauth/revoke", data=form).status_code == 200
    row = f"INSERT INTO revoked_token VALUES ('{_jti(token)}', now() + interval '5 minutes')"
    gateway.sql(row + " ON CONFLICT DO NOTHING")
    assert seconds_until(lambda: not is_open(gateway.url, token)) < 2 * AT_ONCE_S


# keys


@dataclass
class Load:
    """Asks for tokens, uses them and lets a service check what the gateway made of them."""

    gateway: Gateway
    second: Second
    kids: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    async def run(self) -> None:
        url = f"{self.second.url}/.well-known/internal-jwks.json"
        service = Verifier(issuer=self.gateway.url, audience="case-svc", jwks_url=url)
        kept: list[str] = []
        async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
            while not self.stop.is_set():
                form = self.gateway.clinic.form()
                asked = await http.post(f"{self.second.url}/oauth/token", data=form)
                if asked.status_code != 200:
                    self.failures.append(asked.text)
                    continue
                kept = [*kept[-9:], asked.json()["access_token"]]
                self.kids.append(header_of(kept[-1])["kid"])
                for token in (kept[0], kept[-1]):
                    used = await http.get(f"{self.second.url}/v1/cases", headers=bearer(token))
                    if used.status_code != 200:
                        self.failures.append(used.text)
                sent = self.gateway.upstream.last.header(b"authorization") or b""
                await service(sent.decode().removeprefix("Bearer "))


def test_keys_rotate_without_a_failed_request(gateway: Gateway, second: Second) -> None:
    load = Load(gateway, second)
    first = token_of(second.url, gateway.clinic)
    with _in_the_background(load):
        (fresh,) = second.keys("rotate", "--wait-s", "2")
        published = HTTP.get(f"{second.url}/.well-known/jwks.json")
        assert published.headers["cache-control"] == "public, max-age=300"
        seconds_until(lambda: fresh["access"] in load.kids, 20)
        so_far = len(load.kids)
        seconds_until(lambda: len(load.kids) > so_far + 10, 20)
    assert load.failures == []
    assert header_of(first)["kid"] in load.kids
    assert load.kids[-1] == fresh["access"]
    kids = [key["kid"] for key in HTTP.get(f"{second.url}/.well-known/jwks.json").json()["keys"]]
    assert kids == [header_of(first)["kid"], fresh["access"]]
    # stale kid after rotation: withdrawn, it opens nothing, whatever was verified before
    assert is_open(second.url, first)
    second.keys("retire", kids[0])
    seconds_until(lambda: not is_open(second.url, first))
    assert is_open(second.url, token_of(second.url, gateway.clinic))


@contextlib.contextmanager
def _in_the_background(load: Load) -> Iterator[None]:
    thread = threading.Thread(target=lambda: asyncio.run(load.run()))
    thread.start()
    try:
        seconds_until(lambda: len(load.kids) > 3, 20)
        yield
    finally:
        load.stop.set()
        thread.join(30)
    assert not thread.is_alive()


def test_the_keys_are_listed_without_their_secrets(second: Second) -> None:
    listed = second.keys("list")
    assert {entry["use"] for entry in listed} == {"access", "internal"}
    assert all(entry.keys() == {"use", "kid", "signs_from", "ends_at"} for entry in listed)


# keys of partners, by address


class KeySetServer:
    """A partner's key set on HTTP: what it answers is set by the test."""

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.asked = 0
        self.status = 200
        self.padding = ""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.asked += 1
                body = json.dumps({"keys": owner.keys, "pad": owner.padding}).encode()
                self.send_response(owner.status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks.json"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def key_server() -> Iterator[KeySetServer]:
    found = KeySetServer()
    yield found
    found.server.shutdown()
    found.server.server_close()


def by_address(gateway: Gateway, second: Second, url: str) -> Partner:
    key = new_key("ES384")
    body = {
        "organisation_id": gateway.clinic.organisation_id,
        "name": "by address",
        "jwks_uri": url,
        "scopes": ["sharing.read"],
        "purposes": ["TREAT"],
    }
    admin = bearer(token_of(second.url, gateway.admin))
    made = HTTP.post(
        f"{second.url}/v1/clients", json=body, headers={**admin, "Idempotency-Key": key.kid}
    )
    assert made.status_code == 201, made.text
    return Partner(gateway.url, gateway.clinic.organisation_id, made.json()["id"], key)


def test_keys_are_fetched_once_and_again_for_an_unknown_one(
    gateway: Gateway, second: Second, key_server: KeySetServer
) -> None:
    client = by_address(gateway, second, key_server.url)
    key_server.keys = public_set(client.key)["keys"]
    assert token_of(second.url, client)
    assert token_of(second.url, client)
    assert key_server.asked == 1
    assert HTTP.post(f"{gateway.url}/oauth/token", data=client.form()).status_code == 401, (
        "the first gateway asks no address of this machine"
    )
    # an unknown kid cannot make us a flood
    client.key = new_key("ES384")
    for _ in range(5):
        assert HTTP.post(f"{second.url}/oauth/token", data=client.form()).status_code == 401
    assert key_server.asked == 1


@pytest.mark.parametrize("fault", ["private", "secret", "many", "large", "redirect", "two", "text"])
def test_a_key_set_that_is_no_good_opens_nothing(
    gateway: Gateway, second: Second, key_server: KeySetServer, fault: str
) -> None:
    client = by_address(gateway, second, key_server.url)
    good = public_set(client.key)["keys"]
    key_server.keys = {
        "private": [client.key.as_dict(private=True)],
        "secret": [{"kty": "oct", "k": "AA", "kid": client.key.kid}],
        "many": good + [{**good[0], "kid": str(n)} for n in range(1000)],
        "two": good + good,
        "text": ["x", 7, None],
    }.get(fault, good)
    key_server.padding = "x" * 70_000 if fault == "large" else ""
    key_server.status = 302 if fault == "redirect" else 200
    assert HTTP.post(f"{second.url}/oauth/token", data=client.form()).status_code == 401
    assert key_server.asked == 1
