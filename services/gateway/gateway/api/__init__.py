"""The gateway's own resources, a file a noun."""

from gateway.api import (
    access,
    agreements,
    clients,
    consents,
    consents_fhir,
    drafts,
    emergencies,
    grants,
    issuers,
    ledger,
    organisations,
    policies,
    registrations,
    suspensions,
)

ROUTERS = (
    organisations.router,
    clients.router,
    issuers.router,
    registrations.router,
    # before agreements: `drafts` is no id
    drafts.router,
    agreements.router,
    # before the JSON route of the same path: it takes only what is sent as FHIR
    consents_fhir.router,
    consents.router,
    grants.router,
    emergencies.router,
    access.router,
    policies.router,
    ledger.router,
    suspensions.router,
)
