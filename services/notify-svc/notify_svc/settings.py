"""Settings of notify-svc: `NOTIFY_<FIELD>`."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import SettingsConfigDict
from svckit.settings import ServiceSettings

from notify_svc.domain import mailbox
from notify_svc.domain.schedule import KEEP_DAYS, SCHEDULE_S, VERIFY_SCHEDULE_S
from notify_svc.domain.sealing import Sealer, key_of
from notify_svc.domain.targets import TargetRule


def _keys_of(text: SecretStr) -> SecretStr:
    for key in text.get_secret_value().split(","):
        key_of(key.strip())
    return text


class Settings(ServiceSettings):
    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        frozen=True, extra="ignore", env_prefix="NOTIFY_"
    )

    # 256 bits in hexadecimal; they seal what is stored of partners' secrets. To replace the key put
    # the new one first, a comma between, and run `reseal`; lost, no webhook can be signed any more
    sealing_keys: Annotated[SecretStr, AfterValidator(_keys_of)]
    # the sandbox only: webhooks may go to http, to loopback and private addresses, to any port
    allow_private_targets: bool = False
    # ports that a webhook URL may name
    target_ports: frozenset[int] = frozenset({443, 8443})
    # certificates (PEM) that partners' servers may be issued under, beside the system's own
    ca_file: Path | None = None
    # http://host:port that webhooks leave by; its own faults are not charged to endpoints. It
    # resolves names itself: have it refuse private addresses too
    egress_proxy: str | None = None
    # seconds before each attempt; once spent, the delivery is exhausted
    schedule_s: tuple[float, ...] = SCHEDULE_S
    # seconds before a new receiver is asked whose it is, and asked again; once spent, disabled
    verify_schedule_s: tuple[float, ...] = VERIFY_SCHEDULE_S
    # time to a connection, and to the end of the answer
    connect_timeout_s: float = Field(default=5, gt=0)
    total_timeout_s: float = Field(default=15, gt=0)
    # on top of the total timeout, until another process may take a delivery over
    lease_margin_s: float = Field(default=15, gt=0)
    # requests in flight in one process, of which slow endpoints may take a quarter; as many more
    # when others have hung for a second
    deliver_concurrency: int = Field(default=256, ge=4)
    # failures in a row (no answer, 5xx, 429) that open an endpoint's breaker; the pauses until a
    # probe follow the schedule, to five minutes
    breaker_opens_after: int = Field(default=5, ge=1)
    # an endpoint without any success for this long, and ten failed messages, is disabled
    disable_after_s: float = Field(default=72 * 3600, gt=0)
    # how long the old secret still signs after a rotation
    rotation_overlap_s: float = Field(default=24 * 3600, ge=0)
    endpoints_per_organisation: int = Field(default=20, ge=1)
    # how long feed, messages, deliveries and attempts are kept; what was not sent by then expires
    keep_days: int = Field(default=KEEP_DAYS, ge=1)
    # how often old ones are looked for, and how many messages are removed at once
    forget_every_s: float = Field(default=60, gt=0)
    forget_batch: int = Field(default=500, ge=1)
    # how often deliveries that no claim will touch are brought to rest
    sweep_every_s: float = Field(default=5, gt=0)
    # smtp://user:password@host:587 (STARTTLS) or smtps://…:465; unset: no mail is ever sent
    smtp_url: SecretStr | None = None
    # whom mails to workers are from; an address of the operator's that takes bounces
    smtp_from: str = "careloop@localhost"
    # a certificate authority of one's own that the mail server's certificate is from
    smtp_ca_file: Path | None = None
    # the sandbox only: hand mails over without TLS
    smtp_plain: bool = False
    # time until the mail server has taken a mail, and seconds before each attempt
    smtp_timeout_s: float = Field(default=30, gt=0)
    smtp_schedule_s: tuple[float, ...] = mailbox.SCHEDULE_S
    # how often deadlines and mails are looked at; a deadline is told of that late at most
    remind_every_s: float = Field(default=5, gt=0)
    # long polls of the feed that one process holds open; beyond it, answers come at once
    feed_waiters: int = Field(default=200, ge=0)
    # streams of the feed that one process holds open, for all and for one organisation; beyond, 429
    feed_streams: int = Field(default=64, ge=0)
    feed_streams_per_organisation: int = Field(default=8, ge=0)
    # a silent stream says this often that it is there; below the gateway's upstream timeout
    feed_heartbeat_s: float = Field(default=10, gt=0)
    # a stream ends after this long, as the longest token does; its reader goes on where it was
    feed_stream_s: float = Field(default=300, gt=0)
    # from a change of rights until it is told what ended by it: what belongs together arrives
    access_settle_s: float = Field(default=1, ge=0)

    def sealer(self) -> Sealer:
        keys = self.sealing_keys.get_secret_value().split(",")
        return Sealer([key_of(key.strip()) for key in keys])

    def targets(self) -> TargetRule:
        return TargetRule(self.allow_private_targets, self.target_ports)

    @property
    def lease_s(self) -> float:
        return self.total_timeout_s + self.lease_margin_s
