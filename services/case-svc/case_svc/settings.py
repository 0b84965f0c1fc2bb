"""Settings of case-svc, read from `CASE_<FIELD>`."""

from typing import ClassVar

from pydantic_settings import SettingsConfigDict
from svckit.settings import ServiceSettings


class Settings(ServiceSettings):
    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        frozen=True, extra="ignore", env_prefix="CASE_"
    )
