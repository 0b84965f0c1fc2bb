"""Acts as one partner organisation over HTTP, as any program outside would.

Gets tokens by `private_key_jwt` (RFC 7523, SMART Backend Services) and repeats what a broken
connection or a restarting service left open: with the same Idempotency-Key nothing happens twice.
"""

import hashlib
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from joserfc import jwt
from joserfc.jws import JWSRegistry

from careloop.errors import StepFailed
from careloop.keys import Key, read_key

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
PURPOSE = "urn:oid:2.16.840.1.113883.5.8#{}"
Version = int | str
# A minute covers a service that is killed, restarted and catches up.
PATIENCE_S = 60.0
_AGAIN = frozenset({502, 503, 504})
_REGISTRY = JWSRegistry(algorithms=["ES384", "RS384"])


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def version(self) -> Version:
        """The version, or to who sees a part of the resource a digest: what If-Match takes."""
        found = self.headers["etag"].strip('"')
        return int(found) if found.isdecimal() else found

    @property
    def code(self) -> str | None:
        return self.body.get("code") if isinstance(self.body, dict) else None


@dataclass
class Partner:
    """One organisation's client; `purpose` is asked for with every token."""

    gateway: str
    organisation_id: str
    name: str
    kind: str
    client_id: str
    key: Key
    alg: str
    purpose: str
    http: httpx.Client = field(repr=False)
    retries: int = 0
    _token: str = ""
    _renew_at: float = 0.0

    @classmethod
    def of(
        cls, gateway: str, entry: Mapping[str, Any], base: Path, http: httpx.Client
    ) -> "Partner":
        """Return the partner described by an entry of `sandbox.json`, which lies in `base`."""
        key = read_key(base / entry["key_file"], entry["alg"], entry["kid"])
        return cls(
            gateway,
            entry["id"],
            entry["name"],
            entry["kind"],
            entry["client_id"],
            key,
            entry["alg"],
            entry["purposes"][0],
            http,
        )

    def token(self) -> str:
        if time.monotonic() >= self._renew_at:
            answer = self._send("POST", "/oauth/token", data=self._grant, authorised=False)
            if answer.status != httpx.codes.OK:
                raise StepFailed(f"{self.name} gets no token: {answer.body}")
            self._token = answer.body["access_token"]
            self._renew_at = time.monotonic() + answer.body["expires_in"] - 30
        return self._token

    def _grant(self) -> dict[str, str]:
        """Return the token request; the assertion is new each time, since its `jti` is spent."""
        now = int(time.time())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": f"{self.gateway}/oauth/token",
            "jti": secrets.token_urlsafe(16),
            "iat": now,
            "exp": now + 120,
            "extensions": {
                "hl7-b2b": {"version": "1", "purpose_of_use": [PURPOSE.format(self.purpose)]}
            },
        }
        header = {"alg": self.alg, "typ": "JWT", "kid": self.key.kid}
        return {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": jwt.encode(header, claims, self.key, registry=_REGISTRY),
        }

    def get(self, path: str, **params: Any) -> Answer:
        return self._send("GET", path, params=params)

    def post(
        self, path: str, body: object = None, *, key: str = "", version: Version = 0
    ) -> Answer:
        """Send a command; `key` makes it repeatable across runs, else one is made up."""
        return self._send("POST", path, json=body, headers=self._guards(key, version))

    def patch(self, path: str, body: Mapping[str, Any], *, version: Version) -> Answer:
        """Change some fields; a lost answer is made good by reading what stands."""
        answer = self._send("PATCH", path, json=body, headers={"If-Match": f'"{version}"'})
        if answer.status == httpx.codes.PRECONDITION_FAILED:
            found = self.get(path)
            if body.items() <= found.body.items():
                return found
        return answer

    def delete(self, path: str, *, version: Version) -> Answer:
        return self._send("DELETE", path, headers={"If-Match": f'"{version}"'})

    def put_content(
        self, path: str, content: bytes, media_type: str, *, version: Version
    ) -> Answer:
        """Upload a document's bytes; a lost answer is made good by reading what stands."""
        headers = {"If-Match": f'"{version}"', "Content-Type": media_type}
        answer = self._send("PUT", f"{path}/content", content=content, headers=headers)
        if answer.status == httpx.codes.PRECONDITION_FAILED:
            found = self.get(path)
            stored = (found.body.get("content") or {}).get("sha256")
            if stored == hashlib.sha256(content).hexdigest():
                return found
        return answer

    def items(self, path: str, **params: Any) -> Iterator[Any]:
        """Yield every item of a list, page after page."""
        cursor: str | None = None
        while True:
            page = {**params, "limit": 200, **({"cursor": cursor} if cursor else {})}
            body = must(self.get(path, **page)).body
            yield from body["items"]
            cursor = body.get("next")
            if cursor is None:
                return

    def _guards(self, key: str, version: Version) -> dict[str, str]:
        headers = {"Idempotency-Key": key or secrets.token_urlsafe(18)}
        if version:
            headers["If-Match"] = f'"{version}"'
        return headers

    def _send(self, method: str, path: str, *, authorised: bool = True, **request: Any) -> Answer:
        """Send until there is an answer that stands; the key of a command stays the same."""
        deadline = time.monotonic() + PATIENCE_S
        pause = 0.05
        headers = dict(request.pop("headers", {}))
        make_data = request.pop("data", None)
        while True:
            if make_data is not None:
                request["data"] = make_data()
            try:
                if authorised:
                    headers["Authorization"] = f"Bearer {self.token()}"
                got = self.http.request(method, f"{self.gateway}{path}", headers=headers, **request)
            except httpx.TransportError as error:
                if time.monotonic() > deadline:
                    raise StepFailed(f"{method} {path}: {type(error).__name__}") from error
            else:
                answer = Answer(got.status_code, _body(got), got.headers)
                if not self._worth_repeating(answer) or time.monotonic() > deadline:
                    return answer
            self.retries += 1
            time.sleep(pause)
            pause = min(pause * 2, 1.0)

    def _worth_repeating(self, answer: Answer) -> bool:
        return answer.status in _AGAIN or answer.code == "idempotency-in-progress"


def must(answer: Answer, *statuses: int) -> Answer:
    """Return the answer if its status is one of these (default: any success), else fail."""
    good = answer.status in statuses if statuses else answer.status < httpx.codes.BAD_REQUEST
    if not good:
        raise StepFailed(f"unexpected answer {answer.status}: {answer.body}")
    return answer


def _body(response: httpx.Response) -> Any:
    media_type = response.headers.get("content-type", "").partition(";")[0]
    if media_type.endswith(("/json", "+json")):
        return response.json()
    return response.content
