"""Sends what is due: claim (written ahead), decide once more, post, write the result by token.

loop     the scheduler: which endpoints, how many at once, and what when the process stops
post     one signed request: no redirects, no proxy, bounded time and bounded answer
guard    no connection to an address that is not public
"""

from notify_svc.deliver.loop import run

__all__ = ["run"]
