"""Looks at the clock and sends mails: deadlines that come near or pass, digests, what is due.

loop     what is looked at, how often, and what when the process stops
smtp     one mail handed over: with TLS, in bounded time
"""

from notify_svc.remind.loop import run

__all__ = ["run"]
