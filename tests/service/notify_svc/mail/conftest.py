"""A mail server that is really there, and two organisations whose workers it writes to."""

import pytest
from pydantic import SecretStr

from tests.service.notify_svc.workers import Office, mail_server


@pytest.fixture
def server():
    with mail_server() as found:
        yield found


@pytest.fixture
def settings(settings, server):
    url = f"smtp://127.0.0.1:{server.port}"
    quick = {"smtp_schedule_s": (0.0, 0.01, 0.01), "smtp_timeout_s": 2, "lease_margin_s": 0.2}
    mail = {"smtp_from": "Careloop <careloop@network.example>", "smtp_plain": True}
    return settings.model_copy(update={**quick, **mail, "smtp_url": SecretStr(url)})


@pytest.fixture
async def office(world, server):
    clinic, agency = await world.organisation(), await world.organisation("social-service")
    await world.grant(clinic, agency, ["coordination", "contact"])
    return Office(world, clinic, agency, server)
