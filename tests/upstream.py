"""A scripted service behind a gateway under test: it does what the path says, and remembers."""

import contextlib
import json
import socketserver
import threading
from dataclasses import dataclass
from urllib.parse import parse_qs


@dataclass
class Seen:
    """A request as the service behind the gateway got it, byte for byte."""

    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        found = [value for key, value in self.headers if key == name]
        assert len(found) < 2, f"{name!r} came twice"
        return found[0] if found else None


class Upstream(socketserver.ThreadingTCPServer):
    """A service that does what the path says and remembers what it got."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[Seen] = []
        self.breaks = 0
        # whole answers by the last part of the path; one that ends in `half` closes
        self.scripted = dict(_SCRIPTED)
        self.poured_out = threading.Event()
        self.released = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def last(self) -> Seen:
        return self.seen[-1]


class _Handler(socketserver.StreamRequestHandler):
    server: Upstream

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            while self._one():
                pass

    def _one(self) -> bool:
        line = self.rfile.readline().rstrip(b"\r\n")
        if not line:
            return False
        headers: list[tuple[bytes, bytes]] = []
        while raw := self.rfile.readline().rstrip(b"\r\n"):
            name, _, value = raw.partition(b":")
            headers.append((name.lower(), value.strip()))
        if line.split(b" ")[1].endswith(b"/stuck"):
            self.server.released.wait(30)
            return False
        seen = Seen(line, headers, self._body(dict(headers)))
        self.server.seen.append(seen)
        return self._answer(seen, line.split(b" ")[1].partition(b"?")[0])

    def _body(self, headers: dict[bytes, bytes]) -> bytes:
        if headers.get(b"transfer-encoding") == b"chunked":
            parts: list[bytes] = []
            while size := int(self.rfile.readline() or b"0", 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(headers.get(b"content-length", 0)))

    def _pour(self) -> None:
        """Write until nobody takes it any more."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                self.wfile.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        except ConnectionError:
            self.server.poured_out.set()
            raise

    def _disclose(self, query: bytes) -> None:
        """Answer with the status and the notes that the query says: a service that tells."""
        asked = {name: values[0] for name, values in parse_qs(query.decode()).items()}
        head = f"HTTP/1.1 {asked.get('status', '200')} X\r\nCareloop-Disclosed: {asked['told']}\r\n"
        self.wfile.write(head.encode() + b"Content-Length: 2\r\n\r\nok")

    def _answer(self, seen: Seen, path: bytes) -> bool:
        if path.endswith(b"/breaks") and self.server.breaks:
            self.server.breaks -= 1
            return False
        if path.endswith(b"/stream"):
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(64):
                self.wfile.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
            return True
        if path.endswith(b"/endless"):
            self._pour()
        if path.endswith(b"/silent"):
            self.rfile.read(1)
            return False
        if path.endswith(b"/discloses"):
            self._disclose(seen.line.split(b" ")[1].partition(b"?")[2])
            return True
        scripted = self.server.scripted.get(path.rpartition(b"/")[2])
        if scripted:
            self.wfile.write(scripted)
            return not scripted.endswith(b"half")
        body = json.dumps({"bytes": len(seen.body)}).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.wfile.write(head % len(body) + (b"" if line_is_head(seen) else body))
        return True


_SCRIPTED = {
    b"halfway": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf",
    b"moved": b"HTTP/1.1 302 Found\r\nLocation: http://evil.test/\r\nContent-Length: 0\r\n\r\n",
    b"zipped": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nZZZZ",
    b"leaks": (
        b"HTTP/1.1 200 OK\r\nServer: secret/1\r\nSet-Cookie: a=b\r\nKeep-Alive: 5\r\n"
        b"Careloop-Disclosed: case|org_1|4|1\r\n"
        b'ETag: "7"\r\nLink: </v1/cases?cursor=x>; rel="next"\r\nContent-Length: 2\r\n\r\nok'
    ),
}


def line_is_head(seen: Seen) -> bool:
    return seen.line.startswith(b"HEAD ")
