"""Server-sent events through the door: as they come, entered before they leave, while the token is good."""

import contextlib
import json
import queue
import socketserver
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from gateway.keys import KeyFile
from gateway.tokens import Tokens, new_token_id
from svckit.disclosure import Disclosed, encode
from svckit.identity import Caller
from svckit.ids import new_id

from tests.gateway import HTTP, Gateway, Partner, replica
from tests.sse import Reader

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
SOON_S = 5.0


class Streaming(socketserver.ThreadingTCPServer):
    """A service that answers with what it is given to say, part by part; None ends the answer."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.parts: queue.Queue[bytes | None] = queue.Queue()
        self.media_type = b"text/event-stream; charset=utf-8"
        self.left = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def say(self, *parts: bytes | None) -> None:
        for part in parts:
            self.parts.put(part)


class _Handler(socketserver.StreamRequestHandler):
    server: Streaming

    def handle(self) -> None:
        while self.rfile.readline().rstrip():
            pass
        with contextlib.suppress(ConnectionError):
            self.wfile.write(HEAD % self.server.media_type)
            while (part := self.server.parts.get()) is not None:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
        self.server.left.set()


@pytest.fixture(scope="module")
def service() -> Iterator[Streaming]:
    with Streaming() as found:
        yield found
        found.shutdown()


@pytest.fixture(scope="module")
def door(gateway: Gateway, service: Streaming, tmp_path_factory: Any) -> Iterator[str]:
    log = tmp_path_factory.mktemp("streams") / "gateway.log"
    with replica(gateway, log, notify_url=service.url, document_url=service.url) as url:
        yield url


@pytest.fixture(autouse=True)
def quiet(service: Streaming) -> None:
    service.parts = queue.Queue()
    service.left.clear()


@contextlib.contextmanager
def reading(door: str, token: str, path: str = "/v1/events") -> Iterator[Iterator[str]]:
    head = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    with HTTP.stream("GET", f"{door}{path}", headers=head) as answer:
        assert answer.status_code == 200
        yield answer.iter_lines()


def event(number: int) -> bytes:
    return b'id: %d\ndata: {"seq": %d}\n\n' % (number, number)


def note(*found: Disclosed) -> bytes:
    return b"".join(b":careloop-disclosed %b\n" % line for line in encode(found))


def entries(gateway: Gateway, person_id: str) -> list[dict[str, Any]]:
    rows = gateway.sql("SELECT body FROM ledger_entry WHERE person_id = $1 ORDER BY id", person_id)
    return [json.loads(row["body"]) for row in rows]


def test_an_event_leaves_at_once_and_is_entered_before(
    gateway: Gateway, door: str, service: Streaming
) -> None:
    owner, person = gateway.clinic.organisation_id, new_id("per")
    with reading(door, gateway.payer.token()) as lines:
        for number in (1, 2):
            service.say(note(Disclosed("event", owner, person, 4)) + event(number))
            got = [next(lines) for _ in range(3)]
            assert got == [f"id: {number}", f'data: {{"seq": {number}}}', ""]
            # it is there when the event is
            assert len(entries(gateway, person)) == number
        service.say(None)
        assert list(lines) == []
    found = entries(gateway, person)[0]
    assert found["organisation"] == gateway.payer.organisation_id
    assert (found["channel"], found["method"], found["kind"]) == ("api", "GET", "event")


def test_wherever_a_stream_is_cut_its_notes_are_taken_out(
    gateway: Gateway, door: str, service: Streaming
) -> None:
    owner, person = gateway.clinic.organisation_id, new_id("per")
    told = note(Disclosed("event", owner, person, 4), Disclosed("event", owner, person, 8))
    whole = b"retry: 1000\n\n" + told + event(1) + event(2) + b":\n\n" + told + event(3)
    for size in (1, 7, 64):
        service.say(*(whole[at : at + size] for at in range(0, len(whole), size)), None)
        reader = Reader()
        with reading(door, gateway.payer.token()) as lines:
            for line in lines:
                reader.take(line)
        assert reader.ids == ["1", "2", "3"]
        assert reader.comments == [""]
    assert len(entries(gateway, person)) == 3 * 4


def test_a_stream_that_comes_whole_is_entered_like_any_other(
    gateway: Gateway, door: str, service: Streaming
) -> None:
    owner, person = gateway.clinic.organisation_id, new_id("per")
    service.say(note(Disclosed("event", owner, person, 4)) + event(1), None)
    with reading(door, gateway.payer.token()) as lines:
        assert "careloop" not in "".join(lines)
    assert len(entries(gateway, person)) == 1


def test_what_cannot_be_entered_does_not_leave(
    gateway: Gateway, door: str, service: Streaming
) -> None:
    owner, person = gateway.clinic.organisation_id, new_id("per")
    with reading(door, gateway.payer.token()) as lines:
        service.say(event(1))
        assert [next(lines) for _ in range(3)] == ["id: 1", 'data: {"seq": 1}', ""]
        gateway.sql("ALTER TABLE ledger_entry RENAME TO elsewhere")
        try:
            service.say(note(Disclosed("event", owner, person, 4)) + event(2))
            reader = Reader()
            for line in lines:
                reader.take(line)
        finally:
            gateway.sql("ALTER TABLE elsewhere RENAME TO ledger_entry")
    assert (reader.ids, reader.comments) == ([], ["ledger-unavailable"])
    assert reader.retry_ms == 1000


def test_a_revoked_token_ends_its_stream_within_a_second(
    gateway: Gateway, door: str, service: Streaming
) -> None:
    partner: Partner = gateway.client(gateway.clinic.organisation_id, "TREAT")
    token = partner.token()
    with reading(door, token) as lines:
        service.say(event(1))
        assert [next(lines) for _ in range(3)] == ["id: 1", 'data: {"seq": 1}', ""]
        answer = HTTP.post(f"{gateway.url}/oauth/revoke", data=partner.form(token=token))
        assert answer.status_code == 200, answer.text
        revoked = time.monotonic()
        # the service says nothing: it is not an event that ends it
        rest = list(lines)
        assert time.monotonic() - revoked < SOON_S
    assert rest[:2] == [": unauthenticated", "retry: 1000"]
    assert service.left.wait(SOON_S) or service.say(None) is None


def test_a_stream_ends_with_its_token(gateway: Gateway, door: str, service: Streaming) -> None:
    partner = gateway.payer
    scopes = frozenset({"events.read"})
    who = (partner.organisation_id, "payer", partner.client_id, partner.client_id, "HOPERAT")
    caller = Caller(*who, scopes, new_token_id())
    token = Tokens(KeyFile(gateway.key_file), gateway.url).issue(caller, lives_s=2)
    with reading(door, token) as lines:
        began = time.monotonic()
        reader = Reader()
        for line in lines:
            reader.take(line)
        assert time.monotonic() - began < SOON_S
    assert reader.comments == ["unauthenticated"]


def test_a_partner_that_leaves_is_noticed_and_the_service_let_go(
    gateway: Gateway, door: str, service: Streaming
) -> None:
    with httpx.Client(trust_env=False, timeout=30) as client:
        head = {"Authorization": f"Bearer {gateway.payer.token()}", "Accept": "text/event-stream"}
        with client.stream("GET", f"{door}/v1/events", headers=head):
            service.say(event(1))
    deadline = time.monotonic() + SOON_S
    while not service.left.is_set():
        service.say(b":\n\n")
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_document_that_looks_like_a_stream_is_a_document(
    gateway: Gateway, door: str, service: Streaming
) -> None:
    person = new_id("per")
    forged = note(Disclosed("event", gateway.clinic.organisation_id, person, 4)) + event(1)
    service.say(forged, None)
    head = {"Authorization": f"Bearer {gateway.payer.token()}"}
    answer = HTTP.get(f"{door}/v1/documents/{new_id('doc')}/content", headers=head)
    assert answer.content == forged
    assert entries(gateway, person) == []
