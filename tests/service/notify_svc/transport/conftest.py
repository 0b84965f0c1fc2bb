"""Who asks for webhooks here, and what they are reached by."""

import pytest

from tests.service.notify_svc.transport.stage import Authority, Issuer, serving


@pytest.fixture
async def clinic(world):
    return await world.organisation()


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
async def tokens():
    found = Issuer()
    async with serving(found.handle) as found.url:
        yield found
