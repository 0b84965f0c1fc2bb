"""Which addresses a webhook may reach."""

from dataclasses import dataclass

from svckit.addresses import fault_of
from svckit.errors import FieldError, Invalid


class TargetRefused(Invalid):
    code = "webhook-target-refused"

    def __init__(self, why: str, code: str, pointer: str) -> None:
        super().__init__(
            "The webhook cannot go to this address.", errors=[FieldError(pointer, code, why)]
        )


@dataclass(frozen=True)
class TargetRule:
    """`allow_private` is for the sandbox alone: plain http, loopback and any port."""

    allow_private: bool
    ports: frozenset[int]


def check(url: str, rule: TargetRule, pointer: str = "#/url") -> None:
    """Raise TargetRefused unless the URL is one that a webhook may be sent to.

    Names are judged again by the address they resolve to, at every connection.
    """
    fault = fault_of(url, allow_private=rule.allow_private, ports=rule.ports)
    if fault:
        raise TargetRefused(*fault, pointer)
