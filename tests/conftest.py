"""Fixtures every test may ask for: one PostgreSQL per run, clean databases, tokens, clients."""

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import settings
from svckit import testing

from careloop import postgres as embedded
from careloop.settings import OperatorSettings
from deploy.local import broker

# a shared machine is slow at times: that is no fault of the code under test
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")


class _Server:
    """The run's PostgreSQL: started when first asked for, in the process that outlives the rest."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._postgres: embedded.Postgres | None = None

    def url(self) -> str:
        if self._postgres is None:
            self._folder = Path(tempfile.mkdtemp(prefix="careloop-tests-"))
            self._folder.chmod(0o711)
            self._postgres = embedded.start(
                self._folder, url=OperatorSettings().database_url, settings=embedded.THROWAWAY
            )
        return self._postgres.url

    def close(self) -> None:
        if self._postgres is not None:
            self._postgres.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


_server = _Server()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give every xdist worker the address: the controller owns the server and ends last."""
    node.workerinput["postgres_url"] = _server.url()


def pytest_unconfigure() -> None:
    _server.close()


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> str:
    """The superuser's URL of the run's PostgreSQL."""
    given = getattr(request.config, "workerinput", {}).get("postgres_url")
    return given or _server.url()


@pytest.fixture(scope="session")
def databases(postgres: str) -> testing.Databases:
    return testing.Databases(postgres)


@pytest.fixture(scope="session")
def database_for(databases: testing.Databases) -> Callable[[str], str]:
    """`database_for("case_svc")` is the URL of a fresh database at the service's newest revision."""
    return databases.migrated


@pytest.fixture(scope="session")
def empty_database(databases: testing.Databases) -> Callable[[], str]:
    """`empty_database()` is the URL of a fresh database without any table."""
    return databases.empty


@pytest.fixture(scope="session")
def issuer() -> Iterator[testing.Issuer]:
    """The test gateway: `issuer.token("case-svc", org=…, kind=…)`, `issuer.settings(url)`."""
    with contextlib.closing(testing.Issuer()) as found:
        yield found


@pytest.fixture
async def client_for() -> AsyncIterator[Callable[..., httpx.AsyncClient]]:
    """`client_for(app, token)` is a client of an app in this process; all close with the test."""
    async with contextlib.AsyncExitStack() as open_clients:
        apps: list[Any] = []

        def make(app: Any, token: str | None = None) -> httpx.AsyncClient:
            client = testing.client_for(app, token)
            apps.append(app)
            open_clients.push_async_callback(client.aclose)
            return client

        yield make
        for app in apps:
            db = getattr(getattr(app, "state", None), "db", None)
            if db is not None:
                await db.dispose()


@pytest.fixture(scope="session")
def gateway(
    database_for: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A running gateway with a small network of partners and a scripted service behind it."""
    from tests import gateway as kit

    folder = tmp_path_factory.mktemp("gateway")
    # a request with a span goes the long way, and in a test every one would have one
    with kit.running(database_for("gateway"), folder, traces_per_second="0") as found:
        yield kit.with_partners(found)


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[broker.Broker]:
    """A real Kafka broker of this run; the test is skipped where it cannot be had."""
    if reason := broker.missing():
        pytest.skip(reason)
    node = broker.Broker(tmp_path_factory.mktemp("kafka"))
    node.start()
    yield node
    node.stop()


@pytest.fixture(scope="module")
def kafka_url() -> Iterator[str]:
    """An Apache Kafka of one platform's own: two would read each other's topics."""
    reason = broker.missing()
    if reason:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="careloop-kafka-"))
    node = broker.Broker(folder)
    node.start()
    try:
        yield node.url
    finally:
        node.stop()
        shutil.rmtree(folder, ignore_errors=True)
