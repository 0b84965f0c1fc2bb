"""The gateway's own resources, a file a noun."""

from gateway.api import (
    agreements,
    clients,
    consents,
    consents_fhir,
    emergencies,
    grants,
    organisations,
)

ROUTERS = (
    organisations.router,
    clients.router,
    agreements.router,
    # before the JSON route of the same path: it takes only what is sent as FHIR
    consents_fhir.router,
    consents.router,
    grants.router,
    emergencies.router,
)
