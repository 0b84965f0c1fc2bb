"""Routes, one line of work each. Everything is the caller's organisation's."""

from notify_svc.api import (
    attempts,
    catalogue,
    deliveries,
    endpoints,
    events,
    inbox,
    mailboxes,
    recoveries,
)

ROUTERS = [
    *(events.router, catalogue.router, endpoints.router, recoveries.router),
    *(deliveries.router, attempts.router, mailboxes.router, inbox.router),
]
