"""Sends what is due: claim (written ahead), decide once more, post, write the result by token.

loop     the scheduler: which endpoints, how many at once, and what when the process stops
post     one signed request: no redirects, bounded time and bounded answer
tls      as whom we connect; tokens: what we are asked for at the door; faults: what went wrong
keep     beside it: asks whose endpoints are, warns, replays, forgets what is old
"""

from notify_svc.deliver import keep
from notify_svc.deliver.loop import run

WORKERS = (run, keep.run)

__all__ = ["WORKERS", "run"]
