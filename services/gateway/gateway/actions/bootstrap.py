"""The first organisation and its first client: nobody is there yet to register them."""

from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now
from svckit.ids import new_id

from gateway import events, queries
from gateway.actions.clients import held, public_keys, settle
from gateway.domain import Algorithm, OrganisationKind, scopes_of
from gateway.models import Client, Organisation
from gateway.schemas import JwkSet


async def bootstrap(tx: AsyncSession, name: str, jwks: JwkSet) -> tuple[Organisation, Client]:
    """Return the coordinator and its first admin client, made when absent.

    A repeat with other keys puts them in place of the client's: it is also the way back in.
    Raises Invalid for keys that cannot be used.
    """
    algorithms = [a.value for a in Algorithm]
    keys = public_keys(jwks, algorithms)
    found = await queries.first_admin(tx, OrganisationKind.COORDINATOR)
    if found:
        if found[1].jwks != keys:
            before = held(found[1])
            found[1].jwks, found[1].jwks_uri = keys, None
            found[1].active = True
            await settle(tx, found[1], before)
        return found
    owner = Organisation(
        id=new_id("org"), kind=OrganisationKind.COORDINATOR, name=name, version=1, created_at=now()
    )
    tx.add(owner)
    await tx.flush()
    client = Client(
        id=new_id("cli"),
        organisation_id=owner.id,
        name=f"{name} administration",
        jwks=keys,
        algorithms=algorithms,
        scopes=sorted(scopes_of(owner.kind)),
        purposes=["COC", "HOPERAT"],
        sandbox=False,
        secret_hash=None,
        active=True,
        version=1,
        created_at=now(),
    )
    tx.add(client)
    await tx.flush()
    await events.organisation(tx, "registered", owner, None)
    return owner, client
