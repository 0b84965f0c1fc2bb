"""How an endpoint is reached beyond its URL: headers of its own, a client certificate, a token.

What may be shown and what may not are two values: the second is stored sealed and never shown.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from svckit.errors import FieldError, Invalid

# token of RFC 9110 s5.6.2, and a value of visible characters with blanks between them
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_VALUE = re.compile(r"[!-~](?:[ !-~]{0,1022}[!-~])?")
# what belongs to the connection, to the message, or to us (RFC 9110 s7.6.1)
_OURS = frozenset(
    {
        *("accept", "accept-encoding", "connection", "cookie", "date", "expect", "forwarded"),
        *("host", "keep-alive", "te", "trailer", "traceparent", "tracestate"),
        *("transfer-encoding", "upgrade", "user-agent", "via"),
    }
)
_OUR_PREFIXES = ("content-", "webhook-", "proxy-", "sec-", "x-forwarded-", "access-control-")
HEADERS_LIMIT = 10


class TransportRefused(Invalid):
    code = "webhook-transport-refused"

    def __init__(self, field: str, code: str, why: str) -> None:
        super().__init__(
            "The webhook cannot be sent in this way.",
            errors=[FieldError(f"#/transport/{field}".rstrip("/"), code, why)],
        )


@dataclass(frozen=True)
class Token:
    """Where and as whom an access token is asked for (RFC 6749 s4.4)."""

    token_url: str
    client_id: str
    scope: str | None


@dataclass(frozen=True)
class Certificate:
    """A client certificate, with those that it was issued under, and what is shown of it."""

    chain: str
    sha256: str
    not_after: str


@dataclass(frozen=True)
class Shown:
    """What may be shown; header names in the order and in the lower case in which they are sent."""

    headers: tuple[str, ...] = ()
    oauth: Token | None = None
    certificate: Certificate | None = None

    def as_dict(self) -> dict[str, object] | None:
        return asdict(self) if self != Shown() else None


@dataclass(frozen=True)
class Hidden:
    """What is sealed: the values of the headers, the token's client secret, the private key."""

    headers: Mapping[str, str]
    client_secret: str | None = None
    private_key: str | None = None

    def as_text(self) -> str | None:
        return json.dumps(asdict(self)) if self != Hidden({}) else None


def shown_of(stored: Mapping[str, object] | None) -> Shown:
    """Return what `Shown.as_dict` made of it."""
    found: dict[str, object] = dict(stored or {})
    oauth, certificate = found.get("oauth"), found.get("certificate")
    headers = found.get("headers")
    return Shown(
        headers=tuple(headers) if isinstance(headers, list | tuple) else (),
        oauth=Token(**oauth) if isinstance(oauth, dict) else None,
        certificate=Certificate(**certificate) if isinstance(certificate, dict) else None,
    )


def hidden_of(opened: str | None) -> Hidden:
    """Return what `Hidden.as_text` made of it."""
    return Hidden(**json.loads(opened)) if opened else Hidden({})


def headers_of(given: Mapping[str, str]) -> dict[str, str]:
    """Return headers under their names in lower case. Raises TransportRefused."""
    found: dict[str, str] = {}
    for name, value in given.items():
        low = name.lower()
        if not _NAME.fullmatch(name) or low in found:
            raise TransportRefused("headers", "malformed-header", "A header's name cannot be used.")
        if low in _OURS or low.startswith(_OUR_PREFIXES):
            raise TransportRefused("headers", "header-not-allowed", "A header's name is not free.")
        if not _VALUE.fullmatch(value):
            raise TransportRefused(
                "headers", "malformed-header", "A header's value cannot be sent."
            )
        found[low] = value
    return found


def certificate_of(chain: str, private_key: str, at: datetime) -> Certificate:
    """Return what is shown of a client certificate that fits the key. Raises TransportRefused."""
    try:
        first = x509.load_pem_x509_certificates(chain.encode())[0]
        public = first.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TransportRefused(
            "client_certificate/chain", "malformed-certificate", "Give certificates in PEM."
        ) from error
    try:
        key = serialization.load_pem_private_key(private_key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TransportRefused(
            "client_certificate/private_key",
            "malformed-key",
            "Give the private key in PEM, not encrypted.",
        ) from error
    if key.public_key() != public:
        raise TransportRefused(
            "client_certificate/private_key", "wrong-key", "The key is not the certificate's."
        )
    if first.not_valid_after_utc <= at:
        raise TransportRefused(
            "client_certificate/chain", "certificate-expired", "The certificate has expired."
        )
    return Certificate(
        chain=chain,
        sha256=first.fingerprint(hashes.SHA256()).hex(),
        not_after=first.not_valid_after_utc.isoformat(),
    )


def check(shown: Shown, *, secure: bool) -> None:
    """Raise TransportRefused for what does not go together."""
    if shown.oauth and "authorization" in shown.headers:
        raise TransportRefused(
            "headers", "header-not-allowed", "The token goes into the authorization header."
        )
    if shown.certificate and not secure:
        raise TransportRefused(
            "client_certificate", "https-required", "A certificate needs an https URL."
        )
