"""What is answered to a request whose head is not acceptable, before there is an application."""

from http import HTTPStatus

import orjson


class Refusal(Exception):
    """What is wrong with a request's head."""

    def __init__(self, status: HTTPStatus, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


def written(refusal: Refusal) -> bytes:
    status = refusal.status
    body = orjson.dumps(
        {
            "type": f"urn:careloop:problem:{refusal.code}",
            "title": status.phrase,
            "status": status.value,
            "code": refusal.code,
            "detail": "The request's head is not acceptable.",
        }
    )
    allow = "Allow: GET, HEAD, POST, PUT, PATCH, DELETE\r\n" if status == 405 else ""  # noqa: PLR2004  # RFC 9110 s15.5.6
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "Content-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\n{allow}"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
