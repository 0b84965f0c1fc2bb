"""Routes, one line of work each. Everything is the caller's organisation's."""

from notify_svc.api import catalogue, deliveries, endpoints, events, recoveries

ROUTERS = [
    *(events.router, catalogue.router, endpoints.router, recoveries.router),
    deliveries.router,
]
