"""The receivers that partners copy, as processes, and deliveries signed as the platform signs them."""

import contextlib
import http.client
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from notify_svc.domain import signing

from careloop.ports import free_port

KIT = Path(__file__).parents[2] / "docs" / "receivers"
PYTHON, NODE = KIT / "python" / "receiver.py", KIT / "node" / "receiver.mjs"
COMMANDS = {"python": [sys.executable, str(PYTHON)], "node": ["node", str(NODE)]}
WITHIN_S = 30


def need(language):
    if shutil.which(COMMANDS[language][0]) is None:
        pytest.skip(f"{COMMANDS[language][0]} is not on this machine")


def module():
    """The Python receiver, as a partner's program imports it."""
    spec = importlib.util.spec_from_file_location("receiver", PYTHON)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def message(number=1, **data):
    body = {"type": "org.careloop.case.opened.v1", "data": {"href": f"/v1/cases/{number}", **data}}
    return json.dumps(body).encode()


def headers(secrets, body, *, message_id="evt_1", age_s=0):
    at = int(time.time()) - age_s
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": signing.header(secrets, message_id, at, body),
    }


class Receiver:
    """One of the kit's programs on a folder of its own."""

    def __init__(self, command, folder, secrets):
        self.port, self._command, self._folder = free_port(), command, folder
        self._environment = {
            **os.environ,
            "WEBHOOK_SECRET": secrets,
            "INBOX": str(folder / "inbox"),
        }

    @property
    def printed(self):
        return (self._folder / "out").read_text().splitlines()

    @contextlib.contextmanager
    def running(self):
        with (self._folder / "out").open("ab") as out:
            process = subprocess.Popen(
                [*self._command, str(self.port)], env=self._environment, stdout=out
            )
        try:
            until(self._is_open)
            yield self
            assert process.poll() is None, "it has ended"
        finally:
            process.kill()
            process.wait()

    def _is_open(self):
        with contextlib.suppress(OSError):
            return self.send("GET", b"", {}) > 0
        return False

    def post(self, body, given):
        return self.send("POST", body, given)

    def send(self, method, body, given):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WITHIN_S)
        try:
            connection.request(method, "/careloop", body, given)
            answer = connection.getresponse()
            self.said = answer.read()
            return answer.status
        finally:
            connection.close()


def until(condition):
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
