"""A certificate authority, servers and a token endpoint of the test's own."""

import contextlib
import ssl
from collections import deque
from datetime import timedelta
from ipaddress import ip_address
from types import SimpleNamespace

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from svckit.clock import now

SECRETS = ("s3cr3t-value", "BEGIN PRIVATE", "BEGIN EC PRIVATE")


class Authority:
    """A certificate authority of the test's own, and what it issues."""

    def __init__(self, folder):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
        self._folder = folder
        made = self._build(self._name, self._key.public_key(), is_ca=True)
        self.file = folder / "ca.pem"
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def _build(self, name, public, *, is_ca=False, days=1):
        server = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now() - timedelta(days=9))
            .not_valid_after(now() + timedelta(days=days))
            .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
            .add_extension(server, critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def issue(self, name="client", **more):
        own = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._build(subject, own.public_key(), **more)
        pem = serialization.Encoding.PEM
        return SimpleNamespace(
            chain=made.public_bytes(pem).decode(),
            private_key=own.private_bytes(
                pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ).decode(),
            sha256=made.fingerprint(hashes.SHA256()).hex(),
        )

    def server(self, *, wants_client=False):
        issued = self.issue("server")
        path = self._folder / "server.pem"
        path.write_text(issued.private_key + issued.chain)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        if wants_client:
            context.load_verify_locations(self.file)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@contextlib.asynccontextmanager
async def serving(handler, context=None):
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def pair(issued):
    return {"client_certificate": {"chain": issued.chain, "private_key": issued.private_key}}


async def attempted(world, clinic, **settings):
    """Send one event, once, and return its attempt."""
    await world.happened("case.opened", clinic)
    async with world.sender(**settings) as loop:
        await loop.step()
        await loop.idle()
    return (await world.delivery(clinic))["attempts"][0]


class Issuer:
    """A partner's token endpoint; each token it gives out is another."""

    def __init__(self):
        self.asked, self.answers, self.tokens = [], deque(), []
        self.expires_in = 3600

    async def handle(self, request):
        self.asked.append((request.headers["authorization"], dict(await request.post())))
        if self.answers:
            return self.answers.popleft()
        self.tokens.append(f"token-{len(self.tokens)}")
        body = {"access_token": self.tokens[-1], "token_type": "Bearer"}
        return web.json_response({**body, "expires_in": self.expires_in})


def oauth(tokens, **more):
    asked = {"token_url": f"{tokens.url}/token", "client_id": "care:loop", **more}
    return {"oauth": {**asked, "client_secret": "s3cr3t-value"}}
