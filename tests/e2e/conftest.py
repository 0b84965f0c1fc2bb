from collections.abc import Iterator

import pytest

from tests import world
from tests.written import Heard


@pytest.fixture(scope="session", autouse=True)
def heard() -> Iterator[Heard]:
    """What partners say of persons in all of these tests: no log, trace, metric or event holds it."""
    with pytest.MonkeyPatch.context() as patch:
        found = Heard()
        found.listen(patch)
        yield found


@pytest.fixture(scope="module", params=["postgres", pytest.param("kafka", marks=pytest.mark.kafka)])
def platform(request: pytest.FixtureRequest, heard: Heard) -> Iterator[world.Platform]:
    """A seeded Careloop that runs, once on each event log."""
    event_log = None
    if request.param == "kafka":
        event_log = request.getfixturevalue("kafka_url")
    with world.platform(event_log) as found:
        found.start()
        yield found
        assert heard.found(found) == []


@pytest.fixture(scope="session")
def calm(heard: Heard) -> Iterator[world.Platform]:
    """A seeded Careloop shared by every test of the worker that only asks and tells."""
    with world.platform() as found:
        found.start()
        yield found
        assert heard.found(found) == []
