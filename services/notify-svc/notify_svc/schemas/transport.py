"""How an endpoint is reached beyond its URL. What is secret goes in and never comes out."""

from datetime import datetime
from typing import Annotated

from pydantic import Field
from svckit.http import In, Out

from notify_svc.domain.transport import HEADERS_LIMIT
from notify_svc.schemas.fields import Envelope, Url

_Pem = Annotated[str, Field(min_length=1, max_length=20_000, pattern=r"^[\x20-\x7e\r\n]*$")]
_Text = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[\x20-\x7e]*$")]


class OAuthIn(In):
    """OAuth 2.0 client credentials (RFC 6749 s4.4): your token endpoint, and who we are there."""

    token_url: Url
    client_id: _Text
    client_secret: _Text = Field(description="kept sealed, never shown")
    scope: _Text | None = None


class CertificateIn(In):
    """The client certificate that we present to your server."""

    chain: _Pem = Field(description="PEM, the client's own first")
    private_key: _Pem = Field(description="PEM, not encrypted; kept sealed, never shown")


class TransportIn(In):
    headers: dict[str, str] = Field(
        default={},
        max_length=HEADERS_LIMIT,
        description="sent with every request; values are kept sealed and never shown",
    )
    oauth: OAuthIn | None = None
    client_certificate: CertificateIn | None = None


class OAuthOut(Out):
    token_url: Annotated[str, Envelope]
    client_id: Annotated[str, Envelope]
    scope: Annotated[str | None, Envelope]


class CertificateOut(Out):
    sha256: Annotated[str, Envelope]
    not_after: Annotated[datetime, Envelope]


class TransportOut(Out):
    """Names of headers without their values, credentials without their secrets."""

    headers: Annotated[list[str], Envelope]
    oauth: Annotated[OAuthOut | None, Envelope]
    client_certificate: Annotated[
        CertificateOut | None, Envelope, Field(validation_alias="certificate")
    ]
