"""What the gateway does, one function per verb: the same for HTTP, events and the command line."""

from gateway.actions import (
    agreements,
    bootstrap,
    clients,
    consents,
    emergencies,
    grants,
    organisations,
)

__all__ = [
    "agreements",
    "bootstrap",
    "clients",
    "consents",
    "emergencies",
    "grants",
    "organisations",
]
