"""What tests of every service need: fresh migrated databases, a token issuer, clients over ASGI.

`tests/conftest.py` offers these as the fixtures `postgres`, `database_for`, `empty_database`,
`issuer` and `client_for`.
"""

import asyncio
import hashlib
import importlib.util
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx
import orjson
from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.types import ASGIApp

from svckit.identity import TYPE
from svckit.ids import new_id

ALL_SCOPES = (
    "cases.read cases.write persons.read persons.write directory.read directory.write "
    "referrals.read referrals.write documents.read documents.write events.read webhooks.write "
    "inbox.read inbox.write sharing.read sharing.write ledger.read admin"
)
_Result = TypeVar("_Result")


class Databases:
    """Makes databases on one server: empty ones, and clones of a service's migrated template."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._templates: dict[str, str] = {}

    def empty(self) -> str:
        """Return the URL of a new, empty database."""
        return self._create("template0")

    def migrated(self, package: str) -> str:
        """Return the URL of a new database at the head of the package's migrations."""
        if package not in self._templates:
            self._templates[package] = apart(self._template(package))
        return self._create(self._templates[package])

    def _create(self, template: str) -> str:
        name = f"test_{secrets.token_hex(8)}"
        apart(self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
        return self._at(name)

    def _at(self, name: str) -> str:
        return f"{self.url.rpartition('/')[0]}/{name}"

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def _template(self, package: str) -> str:
        """Migrate a template once per server, whichever test process comes first."""
        name = f"template_{package}_{_fingerprint(package)}"
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute("SELECT pg_advisory_lock(hashtext($1))", name)
            known = "SELECT 1 FROM pg_database WHERE datname = $1"
            if await connection.fetchval(known, name) is None:
                half = f"{name}_half"
                await connection.execute(f'DROP DATABASE IF EXISTS "{half}"')
                await connection.execute(f'CREATE DATABASE "{half}" TEMPLATE template0')
                _migrate(package, self._at(half))
                await _know_rights(package, self._at(half))
                await connection.execute(f'ALTER DATABASE "{half}" RENAME TO "{name}"')
        finally:
            await connection.close()
        return name


def apart(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run `work` on a loop of its own, also from inside a running one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def environment(package: str, url: str, **more: str) -> dict[str, str]:
    """Return the settings of one service as environment variables, for a process of it."""
    prefix = package.removesuffix("_svc").upper()
    values = {
        "database_url": url,
        "event_log_url": url,
        "issuer": "http://127.0.0.1:8080",
        "internal_jwks_url": "http://127.0.0.1:8080/.well-known/internal-jwks.json",
        "cursor_key": secrets.token_hex(32),
        # what only one service has: a key of its own, a store of bytes, keys and upstreams
        "sealing_keys": "0" * 64,
        "store_url": "file:///var/empty/careloop",
        "key_file": "/var/empty/careloop/keys.json",
        **{
            f"{name}_url": "http://127.0.0.1:1"
            for name in ("case", "referral", "document", "notify")
        },
        **more,
    }
    return {f"{prefix}_{name.upper()}": value for name, value in values.items()}


def _migrate(package: str, url: str) -> None:
    done = subprocess.run(  # noqa: S603 - our own module, our own interpreter
        [sys.executable, "-m", package, "migrate"],
        env={**os.environ, **environment(package, url)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{package} does not migrate: {done.stderr[-2000:]}")


async def _know_rights(package: str, url: str) -> None:
    """Let the rights be fresh without a gateway to say so, for as long as any test runs."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "INSERT INTO watermark SELECT $1, topic, 0, 1, '9999-01-01Z'::timestamptz"
            " FROM unnest($2::text[]) AS topic",
            package.replace("_", "-"),
            ["sharing.v1", "case.v1", "referral.v1"],
        )
    finally:
        await connection.close()


def _fingerprint(package: str) -> str:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{package} is not installed")
    digest = hashlib.sha256()
    for path in sorted((Path(spec.origin).parent / "migrations").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


class Issuer:
    """Stands for the gateway: signs internal identities and serves its key over HTTP."""

    def __init__(self) -> None:
        self._key = ECKey.generate_key("P-256", {"kid": "test-key", "alg": "ES256"})
        document = {"keys": [self._key.as_dict(private=False)]}
        handler = partial(_Jwks, orjson.dumps(document))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.jwks_url = f"{self.url}/.well-known/internal-jwks.json"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def token(
        self,
        service: str,
        *,
        org: str,
        kind: str = "clinic",
        purpose: str = "TREAT",
        scopes: str = ALL_SCOPES,
        client: str | None = None,
        actor: str | None = None,
        lifetime_s: int = 60,
        **claims: object,
    ) -> str:
        """Return an internal token for `service` (`case-svc`); `claims` replace any of it."""
        now = int(time.time())
        client = client or new_id("cli")
        body = {
            "iss": self.url,
            "aud": service,
            "sub": client,
            "org": org,
            "org_kind": kind,
            "actor": actor or client,
            "purpose": purpose,
            "scope": scopes,
            "jti": secrets.token_hex(8),
            "iat": now,
            "exp": now + lifetime_s,
        }
        header = {"alg": "ES256", "typ": TYPE, "kid": "test-key"}
        return jwt.encode(header, {**body, **claims}, self._key)

    def settings(self, database_url: str, **more: Any) -> dict[str, Any]:
        """Return keyword arguments for a service's `Settings` that trusts this issuer."""
        return {
            "database_url": database_url,
            "event_log_url": database_url,
            "issuer": self.url,
            "internal_jwks_url": self.jwks_url,
            "cursor_key": "0" * 64,
            "sealing_keys": "0" * 64,
            "pool_size": 4,
            **more,
        }


class _Jwks(BaseHTTPRequestHandler):
    def __init__(self, body: bytes, *args: Any) -> None:
        self._body = body
        super().__init__(*args)

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/jwk-set+json")
        self.send_header("Content-Length", str(len(self._body)))
        self.end_headers()
        self.wfile.write(self._body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited name
        pass


def client_for(app: ASGIApp, token: str | None = None) -> httpx.AsyncClient:
    """Return a client that calls `app` in process, as the bearer of `token`.

    An unhandled error becomes the application's own 500, as it would over a network.
    """
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False),
        base_url="http://service.test",
        headers={"Authorization": f"Bearer {token}"} if token else {},
        timeout=30,
    )
