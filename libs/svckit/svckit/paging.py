"""Keyset pages: signed cursors bound to the caller's organisation, the path and the filters."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import orjson
from fastapi import Depends, Query, Request, Response

from svckit.errors import BadRequest

T = TypeVar("T")
_LOOSE = {"cursor", "limit"}


class Page:
    """One page of a list. Queries fetch `limit + 1` rows and start after `after`."""

    def __init__(self, request: Request, limit: int, cursor: str | None) -> None:
        self._request = request
        self._given = cursor
        self.limit = limit

    def _key(self) -> bytes:
        secret: str = self._request.app.state.settings.cursor_key.get_secret_value()
        return secret.encode()

    def _context(self, organisation_id: str) -> str:
        filters = sorted(
            (k, v) for k, v in self._request.query_params.multi_items() if k not in _LOOSE
        )
        return orjson.dumps([organisation_id, self._request.url.path, filters]).decode()

    def _sign(self, payload: bytes, organisation_id: str) -> bytes:
        signed = payload + b"." + self._context(organisation_id).encode()
        return hmac.new(self._key(), signed, hashlib.sha256).digest()[:16]

    def after(self, organisation_id: str) -> list[Any] | None:
        """Return the sort key to continue after. Raises BadRequest for a foreign cursor."""
        if self._given is None:
            return None
        try:
            raw = base64.urlsafe_b64decode(self._given + "=" * (-len(self._given) % 4))
        except ValueError as error:
            raise _foreign() from error
        payload, mac = raw[:-16], raw[-16:]
        if not hmac.compare_digest(mac, self._sign(payload, organisation_id)):
            raise _foreign()
        found: list[Any] = orjson.loads(payload)
        return found

    def reply(
        self,
        organisation_id: str,
        rows: Sequence[T],
        *,
        key: Callable[[T], list[Any]],
        present: Callable[[T], dict[str, Any]],
    ) -> Response:
        """Return the page `{"items", "next"}` and its Link header (RFC 8288)."""
        shown, following = self._shown(organisation_id, rows, key)
        body = {"items": [present(row) for row in shown], "next": following}
        return Response(orjson.dumps(body), 200, self._headers(following), "application/json")

    def lines(
        self,
        organisation_id: str,
        rows: Sequence[T],
        *,
        key: Callable[[T], list[Any]],
        present: Callable[[T], dict[str, Any]],
    ) -> Response:
        """Return the page as JSON lines; the last is `{"next"}`, so that a torn one is noticed."""
        shown, following = self._shown(organisation_id, rows, key)
        body = b"".join(
            orjson.dumps(line) + b"\n" for line in (*map(present, shown), {"next": following})
        )
        return Response(body, 200, self._headers(following), "application/x-ndjson")

    def _shown(
        self, organisation_id: str, rows: Sequence[T], key: Callable[[T], list[Any]]
    ) -> tuple[Sequence[T], str | None]:
        shown, more = rows[: self.limit], len(rows) > self.limit
        return shown, self._cursor(key(shown[-1]), organisation_id) if more else None

    def _headers(self, following: str | None) -> dict[str, str]:
        headers = {"Cache-Control": "no-store"}
        if following:
            # relative: the partner's address of the gateway is not this service's
            url = self._request.url.include_query_params(cursor=following)
            headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
        return headers

    def _cursor(self, key: list[Any], organisation_id: str) -> str:
        payload = orjson.dumps(key)
        token = payload + self._sign(payload, organisation_id)
        return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def _foreign() -> BadRequest:
    return BadRequest("This cursor does not belong to this list.", code="cursor-invalid")


async def _page(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=1024)] = None,
) -> Page:
    return Page(request, limit, cursor)


Paging = Annotated[Page, Depends(_page)]
