"""The service's settings: `REFERRAL_<FIELD>`."""

from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict
from svckit.settings import ServiceSettings


class Settings(ServiceSettings):
    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix="REFERRAL_", frozen=True, extra="ignore"
    )

    port: int = 8102
    # deadlines of a referral that names none: to accept, then to start
    accept_within_hours: int = Field(default=72, ge=1)
    start_within_hours: int = Field(default=336, ge=1)
