"""Partners' receivers, good and bad, in one process: http://127.0.0.1:PORT/e/NAME/BEHAVIOUR

Every request is on disk (fsync) before it is answered, so that what was answered can be proven
after any kill. Until `misbehave` exists in the folder everybody answers well.
"""

import asyncio
import contextlib
import gzip
import hashlib
import os
import socket
import ssl
import struct
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import orjson

from tests.chaos.signatures import verifier

_BOMB = gzip.compress(b"\0" * (32 << 20), 9)
_seen = set()


class History:
    """An append-only file of lines; a line is whole or not there."""

    def __init__(self, path):
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def add(self, entry):
        os.write(self._file, orjson.dumps(entry) + b"\n")
        os.fsync(self._file)


def lines(path):
    """Every whole line of a history."""
    return [orjson.loads(line) for line in path.open("rb") if line.endswith(b"\n")]


async def _read(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (li.partition(":") for li in lines)
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return first.split(" ")[1], headers, body


def _plain(status, *more, body=b""):
    lines = [f"HTTP/1.1 {status} Status", f"content-length: {len(body)}", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def _forever(writer, first, chunk, every_s):
    """Go on until the other side has had enough."""
    with contextlib.suppress(ConnectionError):
        writer.write(first)
        for _ in range(int(60 / max(every_s, 0.001))):
            await writer.drain()
            if writer.is_closing():
                break
            await asyncio.sleep(every_s)
            writer.write(chunk)
    writer.close()


def _reset(writer):
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


def _first_time(name, message_id):
    fresh = (name, message_id) not in _seen
    _seen.add((name, message_id))
    return fresh


def status_of(behaviour, name, message_id):
    """The status that a behaviour answers with, where it answers in one piece."""
    if behaviour == "flaky":
        return 500 if _first_time(name, message_id) else 200
    if behaviour in {"busy-seconds", "busy-date"}:
        return 429 if _first_time(name, message_id) else 200
    if behaviour == "busy-absurd":
        return 429
    return int(behaviour) if behaviour.isdigit() else 200


def _headers(behaviour, status):
    if status == 429:
        date = format_datetime(datetime.fromtimestamp(time.time() + 2, UTC), usegmt=True)
        long = format_datetime(datetime.fromtimestamp(time.time(), UTC) + timedelta(days=9999))
        asked = {"busy-seconds": "1", "busy-date": date, "busy-absurd": long}[behaviour]
        return [f"Retry-After: {asked}"]
    return ["Location: /e/redirected/200"] if status == 301 else []


async def _answer(writer, behaviour, name, message_id, note):
    """Answer; return whether the connection may be used again."""
    if behaviour in {"late", "blackhole"}:
        note(None)
        await asyncio.sleep(8 if behaviour == "late" else 30)
        return False
    if behaviour == "reset":
        note(None)
        _reset(writer)
        return False
    if behaviour in {"drip", "huge", "hang"}:
        note(200)
        endless = b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n"
        chunk, every_s = {"drip": (b".", 0.2), "huge": (b"\0" * 65536, 0.001), "hang": (b"", 5)}[
            behaviour
        ]
        await _forever(writer, endless, chunk, every_s)
        return False
    if behaviour == "bomb":
        note(200)
        writer.write(_plain(200, "content-encoding: gzip", body=_BOMB))
        await writer.drain()
        return True
    if behaviour == "slow":
        await asyncio.sleep(0.7)
    status = status_of(behaviour, name, message_id)
    note(status)
    writer.write(_plain(status, *_headers(behaviour, status)))
    await writer.drain()
    return True


def _verification(world, name, headers, body):
    """The answer to who asks whose endpoint this is; None to any other message.

    Whoever signs with a key that is not this endpoint's is refused.
    """
    if b'"webhook.verification"' not in body:
        return None
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    entries = headers["webhook-signature"].split()
    if not any(
        verifier(line["secret"])(content, entry)
        for line in lines(world.path / "endpoints.jsonl")
        if line.get("name") == name
        for entry in entries
    ):
        return _plain(401)
    challenge = orjson.loads(body)["data"]["challenge"]
    return _plain(200, body=orjson.dumps({"challenge": challenge}))


async def _connection(world, history, reader, writer):
    misbehave = world.path / "misbehave"
    with contextlib.suppress(
        ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
    ):
        keep = True
        while keep:
            path, headers, body = await _read(reader)
            _, _, name, behaviour = path.split("?")[0].split("/", 3)
            if answer := _verification(world, name, headers, body):
                writer.write(answer)
                await writer.drain()
                continue
            entry = {
                "at": time.time(),
                "endpoint": name,
                "id": headers.get("webhook-id"),
                "timestamp": headers.get("webhook-timestamp"),
                "signature": headers.get("webhook-signature"),
                "digest": hashlib.sha256(body).hexdigest(),
            }

            def note(status, entry=entry, body=body):
                # a signature is checked over the bytes themselves, kept once for each message
                more = {"body": body.decode("latin-1")} if _first_time("body", entry["id"]) else {}
                history.add(entry | {"status": status} | more)

            now = behaviour if misbehave.exists() else "200"
            keep = await _answer(writer, now, name, entry["id"], note)
    with contextlib.suppress(ConnectionError):
        writer.close()


async def serve(world, stopping):
    stop = stopping()
    history = History(world.path / "received.jsonl")

    async def connected(reader, writer):
        await _connection(world, history, reader, writer)

    servers = [await asyncio.start_server(connected, "127.0.0.1", world.receiver_port)]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(world.path / "expired.pem")
    servers.append(await asyncio.start_server(connected, "127.0.0.1", world.tls_port, ssl=context))
    await stop.wait()
    for server in servers:
        server.close()
    # what hangs on purpose would hang for long
    os._exit(0)


def write_certificate(path):
    """Of a name that is not asked for, and expired."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "other.example")])
    then = datetime.fromtimestamp(time.time(), UTC) - timedelta(days=10)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(then)
        .not_valid_after(then + timedelta(days=5))
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
