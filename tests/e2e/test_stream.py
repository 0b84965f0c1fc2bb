"""A reader of the stream across kills of the service and of the gateway: every number once, in order."""

import threading
import time
from typing import Any

import httpx

from careloop.demo.checks import eventually
from tests.sse import Reader
from tests.world import Platform

ROUNDS = 3
EACH = 6


class Following(threading.Thread):
    """Reads and connects again, as a browser does, until told to stop."""

    def __init__(self, platform: Platform, name: str) -> None:
        super().__init__(daemon=True)
        self.partner = platform.partner(name)
        self.reader, self.stopped = Reader(), threading.Event()
        self.connections = 0
        self.faults: list[str] = []

    def run(self) -> None:
        with httpx.Client(base_url=self.partner.gateway, trust_env=False, timeout=30) as client:
            while not self.stopped.is_set():
                try:
                    self._read(client)
                except httpx.TransportError as error:
                    self.faults.append(type(error).__name__)
                time.sleep(0.1)

    def _read(self, client: httpx.Client) -> None:
        # what of a block was cut off is no event
        self.reader = Reader(
            last_id=self.reader.last_id, items=self.reader.items, ids=self.reader.ids
        )
        head = {"Authorization": f"Bearer {self.partner.token()}", **self.reader.headers()}
        with client.stream("GET", "/v1/events", headers=head) as answer:
            if answer.status_code != httpx.codes.OK:
                return
            self.connections += 1
            for line in answer.iter_lines():
                self.reader.take(line)
                if self.stopped.is_set():
                    return


def test_every_number_once_and_in_order_whatever_is_killed(platform: Platform) -> None:
    clinic = platform.partner("Lakeside Clinic")
    body = {"number": "LC-77001", "family_name": "Okonkwo", "given_name": "Chidiebere"}
    person = clinic.post("/v1/persons", body).body["id"]
    opened = {"person_id": person, "worker": "w-chukwu", "title": "Following the feed"}
    case = clinic.post("/v1/cases", opened).body["id"]
    following = Following(platform, "Lakeside Clinic")
    following.start()
    for kills, service in enumerate(("notify-svc", "gateway") * ROUNDS):
        # it is a stream that is cut off, not one that could not begin
        eventually(lambda n=kills: following.connections > n, "the stream does not begin")
        for number in range(EACH):
            note = {"kind": "coordination", "text": f"note {number}"}
            answer = clinic.post(f"/v1/cases/{case}/notes", note)
            assert answer.status == httpx.codes.CREATED, answer.body
            if number == EACH // 2:
                killed = platform.kill(service)
        eventually(lambda s=service, k=killed: platform.pids()[s] != k, f"{service} stays down")

    def whole() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after, more = 0, True
        while more:
            page = clinic.get("/v1/events", after=after, limit=200).body
            found += page["items"]
            after, more = page["next_after"], page["more"]
        return found

    eventually(
        lambda: sum("note.added" in each["type"] for each in whole()) >= 2 * ROUNDS * EACH,
        "the notes are not told",
    )
    expected = whole()
    eventually(lambda: following.reader.last_id == str(expected[-1]["seq"]), "the stream lags")
    following.stopped.set()
    following.join(30)
    assert [int(number) for number in following.reader.ids] == [one["seq"] for one in expected]
    assert following.reader.items == expected
    assert following.connections >= 2 * ROUNDS
