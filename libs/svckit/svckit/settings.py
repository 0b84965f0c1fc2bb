"""Settings every service shares. A service subclasses with its own prefix and fields."""

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """Read once at start from `<PREFIX>_<FIELD>`; secrets, DSNs and URLs have no default."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(frozen=True, extra="ignore")

    # the service's own database and role; nobody else connects with it
    database_url: str
    # postgresql://… is the PostgreSQL event log, kafka://host:port,host:port is Kafka
    event_log_url: str
    # the gateway's public address: `iss` of every token, base of every link given to partners
    issuer: str
    # where the keys are that sign internal identities; unreachable at start is not an error
    internal_jwks_url: str
    # signs list cursors; changing it makes open cursors invalid (partners start the list again)
    cursor_key: SecretStr

    host: str = "127.0.0.1"
    port: int = 8000
    # connections to PostgreSQL, and as many again for partners' reads; fewer than the concurrent
    # requests queue unfairly
    pool_size: int = Field(default=16, ge=2)
    # a JSON body above this is refused with 413
    max_body_bytes: int = Field(default=1024 * 1024, ge=1024)
    # finished spans as JSON lines; OTEL_EXPORTER_OTLP_ENDPOINT exports to a collector as well
    trace_file: Path | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    # days that the PostgreSQL log keeps this service's events; Kafka has its own setting. Consumers
    # that are away for longer begin again at the oldest, and what they missed is gone
    event_log_keep_days: int = Field(default=7, ge=1, le=13)
    # how long a command waits for an id that another service has just announced
    replica_wait_s: float = Field(default=2.0, ge=0)
    # event schemas; found beside the packages when unset
    contracts_dir: Path | None = None

    def tls(self) -> dict[str, Any]:
        """Return uvicorn's TLS options; services stand behind the gateway and have none."""
        return {}
