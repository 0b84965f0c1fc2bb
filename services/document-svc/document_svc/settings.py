"""Settings of document-svc, read from DOCUMENT_*."""

from typing import ClassVar

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict
from svckit.settings import ServiceSettings


class Settings(ServiceSettings):
    """What every service has, and where the bytes live."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix="DOCUMENT_", frozen=True, extra="ignore"
    )

    # file:///folder, or s3://bucket for any S3-compatible store; two services must not share one
    store_url: str
    # where the S3-compatible store answers; unset means the cloud's own address for the region
    store_endpoint: str | None = None
    store_region: str = "us-east-1"
    # unset means the credentials the machine's role provides
    store_access_key: str | None = None
    store_secret_key: SecretStr | None = None
    # content above this is refused with 413; it is streamed, so memory does not grow with it
    max_content_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    # bytes in the store that no row knows are removed after this; above the longest upload
    orphan_after_s: float = Field(default=3600, gt=0)
    # how often they are looked for
    sweep_every_s: float = Field(default=900, gt=0)
