"""Settings of the gateway, read from GATEWAY_*."""

import ssl
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, IPvAnyNetwork
from pydantic_settings import SettingsConfigDict
from svckit.settings import ServiceSettings


class Settings(ServiceSettings):
    """What every service has, and what the edge needs."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix="GATEWAY_", frozen=True, extra="ignore"
    )

    # private signing keys; made once if absent, mode 0600; all replicas share one file
    key_file: Path
    # where the services answer; a partner never learns these
    case_url: str
    referral_url: str
    document_url: str
    notify_url: str

    # a document's bytes above this are refused with 413
    max_upload_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    # names in Host that are answered, without ports; unset: the issuer's own
    allowed_hosts: tuple[str, ...] = ()
    # requests one organisation may send in each window, over all processes of the gateway
    rate_limit: int = Field(default=60_000, ge=1)
    rate_window_s: int = Field(default=60, ge=1)
    # processes that share the work; each holds its part of every quota
    processes: int = Field(default=1, ge=1)
    # requests of one organisation that one process answers at a time
    requests_at_a_time: int = Field(default=256, ge=1)
    # token requests in each window from one address, and of one client from one address
    tokens_per_address: int = Field(default=6_000, ge=1)
    tokens_per_client: int = Field(default=600, ge=1)
    # connections that one address may hold; 0 for no limit, as behind a proxy
    connections_per_address: int = Field(default=512, ge=0)
    # requests that get a span in each second; the others only pass their trace id on. What is not
    # used in ten seconds is kept for a burst
    traces_per_second: int = Field(default=20, ge=0)
    # sockets to each service; more concurrent requests than this wait
    upstream_connections: int = Field(default=128, ge=1)
    # a service that does not accept within this is taken for away
    connect_timeout_s: float = Field(default=2.0, gt=0)
    # a service that sends nothing for this long is taken for away
    upstream_timeout_s: float = Field(default=30.0, gt=0)
    # a partner that sends nothing of its body for this long gets 408; that takes nothing is cut off
    body_timeout_s: float = Field(default=30.0, gt=0)
    # how often what has gathered in the ledger is sealed; until then an entry has no proof
    ledger_seal_s: float = Field(default=60.0, gt=0, le=3600)
    # how often revocations are looked up, were the database's word of them to get lost
    revocation_poll_s: float = Field(default=0.5, gt=0, le=60)
    # whether a DPoP proof must carry our nonce: without, a proof can be made in advance
    dpop_nonce: bool = True
    # networks of proxies that end TLS and tell the client's certificate; nobody else is believed
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    # the one header in which they tell it; they must remove it from what they receive
    certificate_header: Literal["client-cert", "x-forwarded-client-cert"] = "client-cert"
    # for the sandbox alone: keys of partners from this machine, and over plain http
    allow_private_jwks: bool = False
    # set to end TLS here; clients may show a certificate of the authority in the third file
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    tls_client_ca_file: Path | None = None

    @cached_property
    def token_endpoint(self) -> str:
        return f"{self.issuer.rstrip('/')}/oauth/token"

    def tls(self) -> dict[str, Any]:
        if self.tls_certificate_file is None:
            return {}
        found: dict[str, Any] = {
            "ssl_certfile": str(self.tls_certificate_file),
            "ssl_keyfile": str(self.tls_key_file),
        }
        if self.tls_client_ca_file:
            found["ssl_ca_certs"] = str(self.tls_client_ca_file)
            found["ssl_cert_reqs"] = ssl.CERT_OPTIONAL
        return found
