"""The one place that reads the clock, so that time can be passed in everywhere else."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the current instant in UTC."""
    return datetime.now(UTC)


def wire(instant: datetime) -> str:
    """Return the instant as RFC 3339 with `Z`, microseconds kept."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
