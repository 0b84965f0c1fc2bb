"""A partner's webhook receiver: a real HTTP server on loopback that verifies every delivery.

Verification is Standard Webhooks 1.0.0, as a partner would write it: the raw body, the id and the
time are signed with the endpoint's secret; old messages and unknown signatures are refused.
"""

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from careloop.verifying import VERIFICATION, fault_of, is_handshake

# an endpoint may be verified before its owner has read the answer that holds the secret
_SECRET_WITHIN_S = 5.0
_OK, _ECHO, _REFUSED = 204, 200, 401


@dataclass
class Receiver:
    """Keeps what was verified: by path, message id to message. `refused` counts the rest."""

    secrets: dict[str, str] = field(default_factory=dict)
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    repeated: int = 0
    refused: int = 0
    _lock: threading.Condition = field(default_factory=threading.Condition)
    _server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", 0))
                body = self.rfile.read(length)
                status, content = receiver.take(self.path, dict(self.headers), body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def url(self, path: str) -> str:
        port = self._server.server_port if self._server is not None else 0
        return f"http://127.0.0.1:{port}{path}"

    def expect(self, path: str, secret: str) -> None:
        """Trust deliveries to `path` that are signed with `secret`."""
        with self._lock:
            self.secrets[path] = secret
            self.messages.setdefault(path, {})
            self._lock.notify_all()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """Verify and keep one delivery; return what it is answered.

        Who is asked whose endpoint this is gives the challenge back, and is asked with a forged one too.
        """
        with self._lock:
            self._lock.wait_for(lambda: path in self.secrets, _SECRET_WITHIN_S)
            named = {name.lower(): value for name, value in headers.items()}
            secret = self.secrets.get(path)
            if secret is None or fault_of([secret], named, body, at=time.time()):
                self.refused += not is_handshake(body)
                return _REFUSED, b""
            message_id, message = named["webhook-id"], json.loads(body)
            if message["type"] == VERIFICATION:
                answer = {"challenge": message["data"]["challenge"]}
                return _ECHO, json.dumps(answer).encode()
            # at least once is the promise: a repeat is taken and changes nothing
            self.repeated += message_id in self.messages[path]
            self.messages[path][message_id] = message
            return _OK, b""

    def types(self, path: str) -> list[str]:
        with self._lock:
            return [message["type"] for message in self.messages[path].values()]
