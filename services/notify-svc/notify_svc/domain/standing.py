"""How an endpoint stands: asked whose it is, enabled, or disabled, and how far from being disabled."""

from enum import StrEnum

DISABLE_AFTER_MESSAGES = 10
# per cent of both, failed messages and time: its owner is told once at each
LEVELS = (50, 75, 100)


class State(StrEnum):
    PENDING_VERIFICATION = "pending_verification"
    ENABLED = "enabled"
    DISABLED = "disabled"


def state_of(*, enabled: bool, is_asked: bool) -> State:
    if enabled:
        return State.ENABLED
    return State.PENDING_VERIFICATION if is_asked else State.DISABLED


def failing_percent(*, failed_messages: int, silent_s: float, limit_s: float) -> int:
    """Return the highest level that both have reached: ten messages, and the time without success."""
    share = min(failed_messages / DISABLE_AFTER_MESSAGES, silent_s / limit_s)
    return max((level for level in LEVELS if share * 100 >= level), default=0)
