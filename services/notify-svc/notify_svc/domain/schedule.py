"""When a delivery is tried again. All instants are the database's; here are only lengths of time."""

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# at once, then 5 s … 24 h: 11 attempts over about 3 days (76 h at most, 38 h at least)
SCHEDULE_S = (0.0, 5, 60, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
# a receiver is often registered before it is started: soon again, then as patient as above
VERIFY_SCHEDULE_S = (0.0, 1, 2, 5, 15, 60, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
# how long a message can be sent, and sent again by hand
KEEP_DAYS = 30
RETRY_AFTER_LIMIT_S = 3600.0


def wait_s(schedule: Sequence[float], step: int, chance: float) -> float | None:
    """Return the seconds to wait after `step` failed attempts, or None when the schedule is spent.

    Full jitter in the upper half: between half of the step and all of it, by `chance` in [0, 1).
    """
    if step >= len(schedule):
        return None
    return schedule[step] * (0.5 + chance / 2)


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Read `Retry-After` (RFC 9110 s10.2.3), seconds or a date, at most one hour; None if absurd."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        asked = float(text[:9])
    else:
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, TypeError, OverflowError):
            return None
        asked = (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
    return min(asked, RETRY_AFTER_LIMIT_S) if asked >= 0 else None
