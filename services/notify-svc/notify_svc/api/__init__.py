"""Routes, one line of work each. Everything is the caller's organisation's."""

from notify_svc.api import deliveries, endpoints, events

ROUTERS = [events.router, endpoints.router, deliveries.router]
