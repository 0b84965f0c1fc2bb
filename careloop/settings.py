"""What an operator may set in the environment; options of the command line go first."""

from typing import ClassVar

from pydantic_settings import BaseSettings, SettingsConfigDict


class OperatorSettings(BaseSettings):
    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix="CARELOOP_", frozen=True, extra="ignore"
    )

    # a server whose login may create roles and databases; unset: a PostgreSQL of our own
    database_url: str | None = None
    # kafka://host:port; unset: the event log is a database on the same server
    event_log_url: str | None = None
