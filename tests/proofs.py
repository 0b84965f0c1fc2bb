"""What a partner shows to prove that it holds a key: DPoP proofs and certificates, good and bad."""

import base64
import hashlib
import secrets
import ssl
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.gateway import HTTP, Partner, new_key, signed


def hash_of(token: str) -> str:
    digest = hashlib.sha256(token.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass
class Prover:
    """A partner with a DPoP key; `issuer` is the address that proofs name."""

    partner: Partner
    key: Any = field(default_factory=lambda: new_key("ES256"))
    alg: str = "ES256"
    nonce: str | None = None
    at: str = ""

    @property
    def url(self) -> str:
        return self.at or self.partner.url

    @property
    def thumbprint(self) -> str:
        return str(self.key.thumbprint())

    def header(self, **changes: Any) -> dict[str, Any]:
        header = {"typ": "dpop+jwt", "alg": self.alg, "jwk": self.key.as_dict(private=False)}
        return {k: v for k, v in {**header, **changes}.items() if v is not None}

    def claims(self, method: str, path: str, token: str | None, **changes: Any) -> dict[str, Any]:
        claims = {
            "htm": method,
            "htu": self.partner.url + path,
            "iat": int(time.time()),
            "jti": secrets.token_hex(12),
            "ath": hash_of(token) if token else None,
            "nonce": self.nonce,
            **changes,
        }
        return {k: v for k, v in claims.items() if v is not None}

    def proof(self, method: str, path: str, token: str | None = None, **changes: Any) -> str:
        return signed(self.key, self.header(), self.claims(method, path, token, **changes))

    def ask(self, proof: str | None = None, **more: str) -> httpx.Response:
        """Ask for a token; learn the nonce first if there is none yet."""
        self.learn()
        return HTTP.post(
            f"{self.url}/oauth/token",
            data=self.partner.form(**more),
            headers={"DPoP": proof or self.proof("POST", "/oauth/token")},
        )

    def learn(self) -> None:
        if self.nonce is None:
            answer = HTTP.post(
                f"{self.url}/oauth/token",
                data=self.partner.form(),
                headers={"DPoP": self.proof("POST", "/oauth/token")},
            )
            assert answer.json()["error"] == "use_dpop_nonce", answer.text
            self.nonce = answer.headers["dpop-nonce"]

    def token(self) -> str:
        answer = self.ask()
        assert answer.status_code == 200, answer.text
        assert answer.json()["token_type"] == "DPoP"
        return str(answer.json()["access_token"])

    def get(self, path: str, token: str, proof: str | None = None) -> httpx.Response:
        given = proof or self.proof("GET", path, token)
        headers = {"Authorization": f"DPoP {token}", "DPoP": given}
        return HTTP.get(self.url + path, headers=headers)


@dataclass
class Certificate:
    """A certificate in files of its own, its key beside it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    folder: Path
    name: str

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def thumbprint(self) -> str:
        return base64.urlsafe_b64encode(hashlib.sha256(self.der).digest()).rstrip(b"=").decode()

    @property
    def pem_file(self) -> Path:
        return self._file("pem", self.certificate.public_bytes(serialization.Encoding.PEM))

    @property
    def key_file(self) -> Path:
        no_password = serialization.NoEncryption()
        kind = serialization.PrivateFormat.PKCS8
        pem = self.key.private_bytes(serialization.Encoding.PEM, kind, no_password)
        return self._file("key", pem)

    def _file(self, suffix: str, content: bytes) -> Path:
        path = self.folder / f"{self.name}.{suffix}"
        path.write_bytes(content)
        return path


def certificate(folder: Path, name: str, by: Certificate | None = None) -> Certificate:
    """Return a certificate signed by another's key, or by its own: then it is an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.now(UTC) - timedelta(hours=1)  # noqa: TID251  # of the certificate, not ours
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    )
    made = builder.sign(by.key if by else key, hashes.SHA256())
    return Certificate(made, key, folder, name)


def over_tls(url: str, shown: Certificate | None) -> httpx.Client:
    """Return a client that shows this certificate, or none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if shown:
        context.load_cert_chain(shown.pem_file, shown.key_file)
    return httpx.Client(base_url=url, verify=context, trust_env=False, timeout=30)
