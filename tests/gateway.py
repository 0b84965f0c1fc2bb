"""A running gateway as partners meet it: a process of its own, a scripted service behind it.

Nothing here uses code of the gateway: requests are plain httpx, assertions plain joserfc.
"""

import atexit
import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from svckit import testing

from tests.upstream import Upstream

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
READY_WITHIN_S = 90.0
# one client: building one costs more than most requests here
HTTP = httpx.Client(trust_env=False, verify=False, timeout=30)
atexit.register(HTTP.close)
_KEYS = {"ES256": "P-256", "ES384": "P-384"}


def new_key(alg: str) -> Any:
    if alg == "RS384":
        return RSAKey.generate_key(2048, auto_kid=True)
    if alg == "EdDSA":
        return OKPKey.generate_key("Ed25519", auto_kid=True)
    return ECKey.generate_key(_KEYS[alg], auto_kid=True)


def public_set(*keys: Any) -> dict[str, Any]:
    return {"keys": [key.as_dict(private=False) for key in keys]}


def signed(key: Any, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Sign whatever is given: a test's attacker keeps to no profile."""
    registry = JWSRegistry(algorithms=list(JWSRegistry.algorithms), strict_check_header=False)
    registry.max_header_length = 100_000
    with warnings.catch_warnings():
        # joserfc warns of EdDSA's old name, which SMART clients use
        warnings.simplefilter("ignore")
        return jwt.encode(header, claims, key, registry=registry, default_type=None)


@dataclass
class Partner:
    """One client of one organisation."""

    url: str
    organisation_id: str
    client_id: str
    key: Any = None
    alg: str = "ES384"
    _cached: dict[str, tuple[str, float]] = field(default_factory=dict)

    @property
    def token_endpoint(self) -> str:
        return f"{self.url}/oauth/token"

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return good claims of an assertion; a change to None leaves the claim out."""
        at = int(time.time())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.token_endpoint,
            "iat": at,
            "exp": at + 240,
            "jti": secrets.token_hex(16),
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def header(self, **changes: Any) -> dict[str, Any]:
        header = {"alg": self.alg, "typ": "JWT", "kid": self.key.kid, **changes}
        return {name: value for name, value in header.items() if value is not None}

    def form(self, assertion: str | None = None, **more: str) -> dict[str, str]:
        return {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion or signed(self.key, self.header(), self.claims()),
            **more,
        }

    def ask(self, assertion: str | None = None, **more: str) -> httpx.Response:
        return HTTP.post(self.token_endpoint, data=self.form(assertion, **more))

    def token(self, **more: str) -> str:
        """Return a token, the one asked for before while it is good for some time yet."""
        key = json.dumps(more, sort_keys=True)
        token, until = self._cached.get(key, ("", 0.0))
        if time.monotonic() >= until:
            answer = self.ask(**more)
            assert answer.status_code == 200, answer.text
            found = answer.json()
            token, until = found["access_token"], time.monotonic() + found["expires_in"] / 2
            self._cached[key] = token, until
        return token

    def http(self, **headers: str) -> httpx.Client:
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.token()}", **headers},
            trust_env=False,
            verify=False,
            timeout=30,
        )

    def post(
        self, path: str, body: Any, *, key: str | None = None, **headers: str
    ) -> httpx.Response:
        with self.http() as http:
            return http.post(
                path, json=body, headers={"Idempotency-Key": key or secrets.token_hex(8), **headers}
            )

    def get(self, path: str, **params: Any) -> httpx.Response:
        with self.http() as http:
            return http.get(path, params=params)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Gateway:
    """The process, what is behind it, and the partners of a small network."""

    url: str
    port: int
    database_url: str
    key_file: Path
    upstream: Upstream
    admin: Partner
    pid: int
    environment: dict[str, str] = field(repr=False)
    clinic: Partner = field(init=False)
    pantry: Partner = field(init=False)
    payer: Partner = field(init=False)
    outsider: Partner = field(init=False)

    def organisation(self, kind: str, name: str) -> str:
        answer = self.admin.post("/v1/organisations", {"kind": kind, "name": name})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def client(
        self,
        organisation_id: str,
        *purposes: str,
        alg: str = "ES384",
        scopes: str = "",
        **more: Any,
    ) -> Partner:
        key = new_key(alg)
        body = {
            "organisation_id": organisation_id,
            "name": "a client",
            "jwks": public_set(key),
            "algorithms": [alg],
            "scopes": (scopes or testing.ALL_SCOPES.removesuffix(" admin")).split(),
            "purposes": list(purposes),
            **more,
        }
        answer = self.admin.post("/v1/clients", body)
        assert answer.status_code == 201, answer.text
        return Partner(self.url, organisation_id, answer.json()["id"], key, alg)

    def sql(self, statement: str, *values: Any) -> list[Any]:
        async def run() -> list[Any]:
            connection = await asyncpg.connect(self.database_url)
            try:
                return list(await connection.fetch(statement, *values))
            finally:
                await connection.close()

        return testing.apart(run())

    def raw(self, data: bytes, *, timeout: float = 10.0) -> bytes:
        """Send bytes as they are and return all that comes until the connection closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as wire:
            wire.sendall(data)
            got = b""
            with contextlib.suppress(TimeoutError, ConnectionError):
                while chunk := wire.recv(65536):
                    got += chunk
            return got


@contextlib.contextmanager
def running(database_url: str, folder: Path, **settings: str) -> Iterator[Gateway]:
    """Run `python -m gateway serve` with a small network and yield it."""
    port, upstream = free_port(), Upstream()
    url = f"http://127.0.0.1:{port}"
    values = {
        "issuer": url,
        "internal_jwks_url": f"{url}/.well-known/internal-jwks.json",
        "port": str(port),
        "key_file": str(folder / "keys.json"),
        "case_url": upstream.url,
        "referral_url": upstream.url,
        "document_url": upstream.url,
        "notify_url": f"http://127.0.0.1:{free_port()}",
        "replica_wait_s": "0.3",
        "allowed_hosts": '["g", "127.0.0.1", "localhost"]',
        **settings,
    }
    environment = {**os.environ, **testing.environment("gateway", database_url, **values)}
    admin_key = new_key("ES384")
    jwks = folder / "admin.jwks"
    jwks.write_text(json.dumps(public_set(admin_key)))
    command = [sys.executable, "-m", "gateway"]
    made = subprocess.run(
        [*command, "bootstrap", "--jwks", str(jwks)],
        env=environment,
        capture_output=True,
        check=True,
    )
    first = json.loads(made.stdout)
    with process_of("serve", environment, url, folder / "gateway.log") as process:
        admin = Partner(url, first["organisation_id"], first["client_id"], admin_key)
        try:
            yield Gateway(
                url,
                port,
                database_url,
                folder / "keys.json",
                upstream,
                admin,
                process.pid,
                environment,
            )
        finally:
            upstream.shutdown()
            upstream.server_close()


@contextlib.contextmanager
def process_of(
    role: str, environment: dict[str, str], url: str, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run one role of the gateway until the block ends."""
    with log.open("wb") as out:
        command = [sys.executable, "-m", "gateway", role]
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        try:
            _await_ready(url, process, log)
            yield process
        finally:
            process.terminate()
            process.wait(20)


@contextlib.contextmanager
def replica(of: Gateway, log: Path, **settings: str) -> Iterator[str]:
    """Run a second gateway on the same database, keys and issuer; yield its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    own = {f"GATEWAY_{name.upper()}": value for name, value in settings.items()}
    with process_of("api", {**of.environment, "GATEWAY_PORT": str(port), **own}, url, log):
        yield url


def with_partners(found: Gateway) -> Gateway:
    """Add a clinic, a social service, a payer and an outsider, one signature algorithm each."""
    found.clinic = found.client(found.organisation("clinic", "Lakeside"), "TREAT")
    pantry = found.organisation("social-service", "Harbor")
    found.pantry = found.client(pantry, "COC", alg="RS384")
    found.payer = found.client(found.organisation("payer", "Meridian"), "HOPERAT", alg="EdDSA")
    found.outsider = found.client(found.organisation("clinic", "Elsewhere"), "TREAT", alg="ES256")
    return found


def _await_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if HTTP.get(f"{url}/readyz").status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError(log.read_text()[-3000:])
