import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import broker as kafka
from tests import world


@pytest.fixture(scope="module")
def kafka_url() -> Iterator[str]:
    """An Apache Kafka of one platform's own: two would read each other's topics."""
    reason = kafka.missing()
    if reason:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="careloop-kafka-"))
    broker = kafka.Broker(folder)
    broker.start()
    try:
        yield broker.url
    finally:
        broker.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module", params=["postgres", pytest.param("kafka", marks=pytest.mark.kafka)])
def platform(request: pytest.FixtureRequest) -> Iterator[world.Platform]:
    """A seeded Careloop that runs, once on each event log."""
    event_log = None
    if request.param == "kafka":
        event_log = request.getfixturevalue("kafka_url")
    with world.platform(event_log) as found:
        found.start()
        yield found


@pytest.fixture(scope="session")
def calm() -> Iterator[world.Platform]:
    """A seeded Careloop shared by every test of the worker that only asks and tells."""
    with world.platform() as found:
        found.start()
        yield found
