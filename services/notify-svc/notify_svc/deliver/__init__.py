"""Sends what is due: claim (written ahead), decide once more, post, write the result by token.

loop     the scheduler: which endpoints, how many at once, and what when the process stops
post     one signed request: no redirects, no proxy, bounded time and bounded answer
keep     beside it: asks whose endpoints are, warns, replays, forgets what is old
"""

from notify_svc.deliver import keep
from notify_svc.deliver.loop import run

WORKERS = (run, keep.run)

__all__ = ["WORKERS", "run"]
