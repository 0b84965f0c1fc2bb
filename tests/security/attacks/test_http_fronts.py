"""HTTP attacks on pairs: what nginx or haproxy in front reads otherwise than we do smuggles nothing.

Every request ends with bytes that would be a request of their own to whoever ended it early. Front
and gateway may refuse it or take it whole; the service must never see the second one.
"""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.gateway import Gateway, free_port
from tests.wire import head

# with a token that is good, so that nothing but the framing stops it; always of one length
TOKEN = b"@" * 1200
SMUGGLED = (
    b"GET /v1/cases/smuggled HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer " + TOKEN + b"\r\n\r\n"
)

NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/error crit; worker_processes 1;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  upstream gateway {{ server 127.0.0.1:{gateway}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://gateway; proxy_http_version 1.1; proxy_request_buffering off;
      proxy_set_header Host $http_host; proxy_set_header Connection "";
    }}
  }}
}}
"""
HAPROXY = """
global
  maxconn 256
defaults
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server 10s
  option http-keep-alive
  http-reuse always
listen front
  bind 127.0.0.1:{port}
  server gateway 127.0.0.1:{gateway}
"""


def _nginx(folder: Path) -> list[str]:
    return ["nginx", "-p", str(folder), "-c", str(folder / "conf")]


def _haproxy(folder: Path) -> list[str]:
    return ["haproxy", "-db", "-f", str(folder / "conf")]


FRONTS: dict[str, tuple[str, Callable[[Path], list[str]]]] = {
    "nginx": (NGINX, _nginx),
    "haproxy": (HAPROXY, _haproxy),
}


@pytest.fixture(scope="module", params=FRONTS)
def front(
    request: pytest.FixtureRequest, gateway: Gateway, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    name = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed here")
    folder, port = tmp_path_factory.mktemp(name), free_port()
    folder.chmod(0o777)
    template, command = FRONTS[name]
    (folder / "conf").write_text(template.format(folder=folder, port=port, gateway=gateway.port))
    process = subprocess.Popen(command(folder), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        time.sleep(0.05)
    yield port
    process.terminate()
    process.wait(10)


def through(port: int, data: bytes) -> bytes:
    """Send bytes to the front and return what comes until it falls silent or closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=1) as wire:
        got = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            wire.sendall(data)
            while chunk := wire.recv(65536):
                got += chunk
        return got


LENGTH = b"Content-Length: %d" % (5 + len(SMUGGLED))
CHUNKED = b"Transfer-Encoding: chunked"
END = b"0\r\n\r\n"
# the lines that frame the body, and the body
PAIRS: dict[str, tuple[tuple[bytes, ...], bytes]] = {
    "CL.TE": ((LENGTH, CHUNKED), END + SMUGGLED),
    "TE.CL": ((CHUNKED, b"Content-Length: 4"), b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)),
    "CL.CL": ((b"Content-Length: 0", b"Content-Length: %d" % len(SMUGGLED)), SMUGGLED),
    "CL list": ((b"Content-Length: 0, %d" % len(SMUGGLED),), SMUGGLED),
    "CL with a plus": ((b"Content-Length: +%d" % len(SMUGGLED),), SMUGGLED),
    "CL with zeros": ((b"Content-Length: 000%d" % len(SMUGGLED),), SMUGGLED),
    "CL hexadecimal": ((b"Content-Length: 0x0",), SMUGGLED),
    "TE.TE cow": ((LENGTH, CHUNKED, b"Transfer-encoding: cow"), END + SMUGGLED),
    "TE.TE xchunked": ((LENGTH, b"Transfer-Encoding: xchunked"), END + SMUGGLED),
    "TE.TE tab": ((LENGTH, b"Transfer-Encoding:\tchunked"), END + SMUGGLED),
    "TE.TE vertical tab": ((LENGTH, b"Transfer-Encoding: \x0bchunked"), END + SMUGGLED),
    "TE.TE space before colon": ((LENGTH, b"Transfer-Encoding : chunked"), END + SMUGGLED),
    "TE.TE folded": ((LENGTH, b"Transfer-Encoding:\r\n chunked"), END + SMUGGLED),
    "TE.TE behind a line feed": ((LENGTH, b"X: x\nTransfer-Encoding: chunked"), END + SMUGGLED),
    "TE.TE identity": ((LENGTH, b"Transfer-Encoding: identity, chunked"), END + SMUGGLED),
    "TE.TE underscore": ((LENGTH, b"Transfer_Encoding: chunked"), END + SMUGGLED),
    "chunk extension with a line feed": ((CHUNKED,), b"2;\nxx\r\n10\r\n" + END + SMUGGLED),
    "chunk size with a sign": ((CHUNKED,), b"+0\r\n\r\n" + SMUGGLED),
    "chunk size with 0x": ((CHUNKED,), b"0x0\r\n\r\n" + SMUGGLED),
    "chunk size that overflows": ((CHUNKED,), b"10000000000000000\r\n\r\n" + SMUGGLED),
    "chunk with a wrong line end": ((CHUNKED,), b"1\r\naXX" + END + SMUGGLED),
    "chunk lines of line feeds": ((CHUNKED,), b"1\na\n0\n\n" + SMUGGLED),
    "Connection takes the length away": ((b"Connection: Content-Length", LENGTH), END + SMUGGLED),
    "Expect and a length": ((b"Expect: 100-continue", LENGTH), END + SMUGGLED),
    "Upgrade h2c": (
        (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk", LENGTH),
        END + SMUGGLED,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_that_reads_two_ways_smuggles_nothing(
    gateway: Gateway, front: int, name: str
) -> None:
    lines, body = PAIRS[name]
    before = len(gateway.upstream.seen)
    token = gateway.clinic.token().encode()
    # spaces after the value mean nothing and keep the length
    body = body.replace(TOKEN, token.ljust(len(TOKEN)))
    through(front, head(gateway, *lines, b"Connection: close", method=b"POST") + body)
    # whoever comes next over the front's kept connection gets an answer of its own
    answer = through(front, head(gateway, b"Connection: close", target=b"/v1/cases/next"))
    assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
    seen = [one.line.split(b" ")[1] for one in gateway.upstream.seen[before:]]
    assert b"/v1/cases/smuggled" not in seen
    assert seen[-1] == b"/v1/cases/next"


def test_the_front_passes_an_honest_request(gateway: Gateway, front: int) -> None:
    lines = (b"Content-Length: 2", b"Connection: close")
    answer = through(front, head(gateway, *lines, method=b"POST") + b"{}")
    assert answer.startswith(b"HTTP/1.1 200")
    assert gateway.upstream.last.body == b"{}"


@pytest.mark.parametrize(
    "path", [b"/v1/cases/../persons", b"/v1/cases/%2e%2e/persons", b"//v1/cases"]
)
def test_a_path_that_the_front_would_clean_up_is_refused(
    gateway: Gateway, front: int, path: bytes
) -> None:
    before = len(gateway.upstream.seen)
    answer = through(front, head(gateway, b"Connection: close", target=path))
    assert answer.startswith(b"HTTP/1.1 400"), answer[:100]
    assert len(gateway.upstream.seen) == before
