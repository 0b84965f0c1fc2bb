"""Receive Careloop's webhooks: verify, keep, answer, then work. Copy this file and write `work`.

    WEBHOOK_SECRET=whsec_… python3 receiver.py 9000

Python 3.9 or later is enough; only a public key (`whpk_…`) needs `pip install cryptography`.
While a secret is rotated WEBHOOK_SECRET holds both, with a space between.
A message is kept in `inbox.db` before it is answered: one that comes twice is worked off once, one
that came before a crash is worked off after it. Put a proxy with TLS in front.
"""

import base64
import binascii
import hmac
import json
import os
import sqlite3
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE_S = 300
MAX_BYTES = 256 * 1024
REMEMBER_S = 31 * 86400  # longer than Careloop sends a message again
AGAIN_S = 5


def work(message):
    """Do what the message asks for: your part. What raises is called again."""
    print(message["type"], message["data"].get("href", ""), flush=True)


class Verifier:
    """Standard Webhooks 1.0.0: `v1` (HMAC-SHA256, whsec_) and `v1a` (Ed25519, whpk_)."""

    def __init__(self, secrets):
        self._keys = [_key(secret) for secret in secrets.split()]
        if not self._keys:
            raise ValueError("no secret")

    def is_genuine(self, headers, body, now=None):
        """Tell whether the raw body was signed for us, lately; `headers` by lower-case name."""
        message_id = headers.get("webhook-id") or ""
        timestamp = headers.get("webhook-timestamp") or ""
        entries = (headers.get("webhook-signature") or "").split(" ")
        if not (message_id and message_id.isascii() and timestamp.isascii()):
            return False
        if not timestamp.isdigit() or len(timestamp) > 12:
            return False
        if abs((time.time() if now is None else now) - int(timestamp)) > TOLERANCE_S:
            return False
        signed = f"{message_id}.{timestamp}.".encode() + body
        # every entry under every key: the time it takes tells nothing
        found = [_matches(*key, entry, signed) for key in self._keys for entry in entries]
        return True in found


def _key(secret):
    prefix, _, text = secret.partition("_")
    raw = base64.b64decode(text, validate=True)
    if prefix == "whsec" and len(raw) >= 24:
        return "v1", lambda given, signed: hmac.compare_digest(
            given, hmac.new(raw, signed, "sha256").digest()
        )
    if prefix == "whpk":
        return "v1a", _ed25519(raw)
    raise ValueError("a secret is whsec_… with 24 bytes or more, or whpk_…")


def _ed25519(raw):
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = Ed25519PublicKey.from_public_bytes(raw)

    def is_signed(given, signed):
        try:
            key.verify(given, signed)
        except InvalidSignature:
            return False
        return True

    return is_signed


def _matches(version, is_signed, entry, signed):
    given_version, _, text = entry.partition(",")
    try:
        given = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    canonical = base64.b64encode(given).decode() == text
    return given_version == version and canonical and is_signed(given, signed)


class Inbox:
    """What was verified, by `webhook-id`; a body stays until it is worked off."""

    def __init__(self, path):
        self._turn = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._do("CREATE TABLE IF NOT EXISTS inbox (id TEXT PRIMARY KEY, body BLOB, at REAL)")

    def _do(self, statement, *values):
        with self._turn:
            return self._db.execute(statement, values).fetchall()

    def keep(self, message_id, body):
        self._do("INSERT OR IGNORE INTO inbox VALUES (?, ?, ?)", message_id, body, time.time())

    def waiting(self):
        return self._do("SELECT id, body FROM inbox WHERE body IS NOT NULL ORDER BY at, rowid")

    def done(self, message_id):
        self._do("UPDATE inbox SET body = NULL WHERE id = ?", message_id)
        self._do("DELETE FROM inbox WHERE body IS NULL AND at < ?", time.time() - REMEMBER_S)


def work_off(inbox, arrived):
    """Work one message off after the other, those left by an earlier run first."""
    while True:
        arrived.clear()
        try:
            for message_id, body in inbox.waiting():
                work(json.loads(body))
                inbox.done(message_id)
        except Exception as error:
            print("again in a moment:", type(error).__name__, file=sys.stderr, flush=True)
            time.sleep(AGAIN_S)
        else:
            arrived.wait()


def handler(verifier, inbox, arrived):
    class Receiver(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_POST(self):
            length = self.headers.get("Content-Length") or ""
            if not (length.isascii() and length.isdigit() and len(length) < 10):
                return self.answer(411)
            body = self.rfile.read(min(int(length), MAX_BYTES))
            if int(length) > MAX_BYTES:
                self.discard(int(length) - MAX_BYTES)
                return self.answer(413)
            headers = {name.lower(): value for name, value in self.headers.items()}
            if not verifier.is_genuine(headers, body):
                return self.answer(401)
            message = json.loads(body)
            if message["type"] == "webhook.verification":
                return self.answer(200, {"challenge": message["data"]["challenge"]})
            try:
                inbox.keep(headers["webhook-id"], body)
            except sqlite3.Error:
                return self.answer(503)
            arrived.set()
            return self.answer(204)

        def discard(self, size):
            while size > 0 and (chunk := self.rfile.read(min(size, 65536))):
                size -= len(chunk)

        def answer(self, status, content=None):
            body = b"" if content is None else json.dumps(content).encode()
            self.close_connection = status >= 400
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Receiver


def main():
    verifier = Verifier(os.environ["WEBHOOK_SECRET"])
    inbox, arrived = Inbox(os.environ.get("INBOX", "inbox.db")), threading.Event()
    threading.Thread(target=work_off, args=(inbox, arrived), daemon=True).start()
    address = ("127.0.0.1", int(sys.argv[1]))
    ThreadingHTTPServer(address, handler(verifier, inbox, arrived)).serve_forever()


if __name__ == "__main__":
    main()
