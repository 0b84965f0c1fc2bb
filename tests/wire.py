"""Raw requests to a gateway, and what came back, byte for byte."""

import json
from typing import Any

from tests.gateway import Gateway


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    return int(answer[9:12])


def problem_of(answer: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.rpartition(b"\r\n\r\n")[2])
    return found


def head(
    gateway: Gateway, *lines: bytes, target: bytes = b"/v1/cases", method: bytes = b"GET"
) -> bytes:
    token = gateway.clinic.token().encode()
    fixed = [method + b" " + target + b" HTTP/1.1", b"Host: g", b"Authorization: Bearer " + token]
    return b"\r\n".join([*fixed, *lines]) + b"\r\n\r\n"


def is_untouched(gateway: Gateway, before: int) -> bool:
    return len(gateway.upstream.seen) == before
