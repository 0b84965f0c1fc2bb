"""The gateway's own resources, a file a noun."""

from gateway.api import agreements, clients, consents, emergencies, grants, organisations

ROUTERS = (
    organisations.router,
    clients.router,
    agreements.router,
    consents.router,
    grants.router,
    emergencies.router,
)
