"""Quotas, deadlines and replicas, with a gateway whose patience is short."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests import gateway as kit
from tests.gateway import HTTP, Gateway, signed


@pytest.fixture(scope="module")
def impatient(
    database_for: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    settings = {
        "rate_limit": "40",
        "rate_window_s": "3600",
        "upstream_timeout_s": "1",
        # longer than the service's: which of the two is slow is then no race on a busy machine
        "body_timeout_s": "2",
        "requests_at_a_time": "8",
        "connections_per_address": "64",
        "tokens_per_client": "20",
    }
    folder = tmp_path_factory.mktemp("impatient")
    with kit.running(database_for("gateway"), folder, **settings) as found:
        yield kit.with_partners(found)


@pytest.fixture(scope="module")
def second(impatient: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with kit.replica(impatient, tmp_path_factory.mktemp("second") / "log") as url:
        yield url


def test_an_organisation_over_its_quota_is_told_when_to_come_back(impatient: Gateway) -> None:
    statuses = []
    with impatient.outsider.http() as http:
        for _ in range(41):
            answer = http.get("/v1/cases")
            statuses.append(answer.status_code)
        sibling = impatient.client(impatient.outsider.organisation_id, "TREAT")
        assert sibling.get("/v1/cases").status_code == 429
    assert statuses == [200] * 40 + [429]
    assert answer.json()["code"] == "quota-exceeded"
    assert answer.json()["violated-policies"] == ["organisation"]
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["ratelimit"].startswith('"organisation";r=0')
    assert impatient.clinic.get("/v1/cases").status_code == 200


def test_a_client_may_have_a_quota_of_its_own(impatient: Gateway) -> None:
    client = impatient.client(impatient.organisation("clinic", "Busy"), "TREAT")
    with impatient.admin.http(**{"If-Match": '"1"'}) as http:
        changed = http.patch(f"/v1/clients/{client.client_id}", json={"rate_limit": 3})
    assert changed.json()["rate_limit"] == 3
    deadline = time.monotonic() + 20
    answer = client.get("/v1/cases")
    while not answer.headers["ratelimit"].startswith('"client"'):
        assert time.monotonic() < deadline
        answer = client.get("/v1/cases")
    statuses = [client.get("/v1/cases").status_code for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    sibling = impatient.client(client.organisation_id, "TREAT")
    assert sibling.get("/v1/cases").headers["ratelimit"].startswith('"organisation"')


def test_an_organisation_waits_for_so_many_answers_at_a_time(impatient: Gateway) -> None:
    token = impatient.payer.token()
    with ThreadPoolExecutor(16) as pool, httpx.Client(trust_env=False) as http:
        url = f"{impatient.url}/v1/cases/silent"
        answers = list(pool.map(lambda _: http.get(url, headers=bearer(token)), range(16)))
        refused = [answer for answer in answers if answer.status_code == 429]
        # the others wait for a service that says nothing, and then are told so
        assert {answer.status_code for answer in answers} == {429, 503}
        assert len(refused) >= 8
        assert refused[0].json()["violated-policies"] == ["concurrent"]
        assert 'qu="concurrent-requests"' in refused[0].headers["ratelimit-policy"]
        assert http.get(f"{impatient.url}/v1/cases", headers=bearer(token)).status_code == 200


def test_a_client_that_asks_for_tokens_without_end_is_told_to_wait(impatient: Gateway) -> None:
    client = impatient.client(impatient.payer.organisation_id, "HOPERAT")
    statuses = [client.ask("no.assertion.at-all", client_id=client.client_id).status_code]
    for _ in range(20):
        answer = client.ask(assertion=signed(client.key, client.header(), client.claims(exp=1)))
        statuses.append(answer.status_code)
    assert set(statuses[:20]) <= {400, 401}
    assert statuses[20] == 429
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["violated-policies"] == ["token-client"]
    sibling = impatient.client(impatient.payer.organisation_id, "HOPERAT")
    assert sibling.ask().status_code == 200


def test_a_flood_of_connections_from_one_address_leaves_the_others_room(
    impatient: Gateway,
) -> None:
    with ExitStack() as open_wires:
        refused = 0
        for _ in range(80):
            try:
                wire = socket.create_connection(
                    ("127.0.0.1", impatient.port), timeout=5, source_address=("127.0.0.2", 0)
                )
                open_wires.enter_context(wire)
                wire.sendall(b"GET /healthz HTTP/1.1\r\nHost: g\r\n\r\n")
                refused += wire.recv(1000) == b""
            except ConnectionError:
                refused += 1
        assert refused >= 16
        assert HTTP.get(f"{impatient.url}/readyz").status_code == 200


def test_a_body_that_drips_is_cut_off(impatient: Gateway) -> None:
    token = impatient.clinic.token().encode()
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=0.25) as wire:
        wire.sendall(
            b"POST /v1/documents HTTP/1.1\r\nHost: g\r\nContent-Length: 1000\r\n"
            b"Authorization: Bearer " + token + b"\r\n\r\n"
        )
        answer = b""
        while not answer and time.monotonic() - started < 20:
            with contextlib.suppress(TimeoutError, ConnectionError):
                wire.sendall(b"x")
                answer = wire.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 408")
    assert time.monotonic() - started < 10


def test_a_service_that_says_nothing_is_taken_for_away(impatient: Gateway) -> None:
    started = time.monotonic()
    answer = impatient.clinic.get("/v1/cases/silent")
    assert (answer.status_code, answer.json()["code"]) == (503, "upstream-unavailable")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("path", [b"/v1/cases", b"/v1/consents", b"/oauth/token"])
def test_a_body_that_does_not_come_is_cut_off(impatient: Gateway, path: bytes) -> None:
    token = impatient.clinic.token().encode()
    head = (
        b"POST " + path + b" HTTP/1.1\r\nHost: g\r\nContent-Length: 100\r\n"
        b"Content-Type: application/json\r\nIdempotency-Key: x\r\n"
        b"Authorization: Bearer " + token + b"\r\n\r\n{"
    )
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=15) as wire:
        wire.sendall(head)
        assert wire.recv(65_536).startswith(b"HTTP/1.1 408")
    assert time.monotonic() - started < 5


def test_a_client_that_goes_away_in_the_middle_harms_nobody(impatient: Gateway) -> None:
    token = impatient.clinic.token().encode()
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", impatient.port), timeout=5) as wire:
            wire.sendall(
                b"POST /v1/documents HTTP/1.1\r\nHost: g\r\nContent-Length: 1000000\r\n"
                b"Authorization: Bearer " + token + b"\r\n\r\n" + b"x" * 1000
            )
    assert HTTP.get(f"{impatient.url}/readyz").status_code == 200


def test_a_service_that_stops_taking_a_body_is_taken_for_away(impatient: Gateway) -> None:
    started = time.monotonic()
    with impatient.clinic.http() as http:
        answer = http.post("/v1/documents/stuck", content=b"x" * 50_000_000)
    impatient.upstream.released.set()
    assert (answer.status_code, answer.json()["code"]) == (503, "upstream-unavailable")
    assert time.monotonic() - started < 20


def test_a_partner_that_takes_nothing_does_not_hold_the_service(impatient: Gateway) -> None:
    token = impatient.clinic.token().encode()
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=5) as wire:
        wire.sendall(
            b"GET /v1/cases/endless HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer "
            + token
            + b"\r\n\r\n"
        )
        assert impatient.upstream.poured_out.wait(10)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_token_is_good_at_every_replica(impatient: Gateway, second: str) -> None:
    token = impatient.pantry.token()
    assert HTTP.get(f"{second}/v1/cases", headers=bearer(token)).status_code == 200
    keys = [HTTP.get(f"{url}/.well-known/jwks.json").json() for url in (impatient.url, second)]
    assert keys[0] == keys[1]


def test_an_assertion_works_once_over_all_replicas(impatient: Gateway, second: str) -> None:
    pantry = impatient.pantry
    form = pantry.form(signed(pantry.key, pantry.header(), pantry.claims()))
    answers = [HTTP.post(f"{url}/oauth/token", data=form) for url in (second, impatient.url)]
    assert [answer.status_code for answer in answers] == [200, 401]


def test_a_token_revoked_at_one_replica_stops_at_the_other_within_a_second(
    impatient: Gateway, second: str
) -> None:
    client = impatient.client(impatient.payer.organisation_id, "HOPERAT")
    token = client.token()
    url = f"{second}/v1/grants"
    assert HTTP.get(url, headers=bearer(token)).status_code == 200
    form = client.form(token=token)
    assert HTTP.post(f"{impatient.url}/oauth/revoke", data=form).status_code == 200
    revoked = time.monotonic()
    while HTTP.get(url, headers=bearer(token)).status_code != 401:
        # half a second between two looks; the rest is for a machine that is busy
        assert time.monotonic() - revoked < 3


def test_an_assertion_stays_spent_after_a_restart(impatient: Gateway, tmp_path: Path) -> None:
    payer = impatient.payer
    form = payer.form(signed(payer.key, payer.header(), payer.claims()))
    answers: list[httpx.Response] = []
    for name in ("before", "after"):
        with kit.replica(impatient, tmp_path / name) as url:
            answers.append(HTTP.post(f"{url}/oauth/token", data=form))
    assert [answer.status_code for answer in answers] == [200, 401]
