from collections.abc import Callable, Iterator

import pytest

from tests import gateway as kit


@pytest.fixture(scope="session")
def gateway(
    database_for: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[kit.Gateway]:
    with kit.running(database_for("gateway"), tmp_path_factory.mktemp("gateway")) as found:
        yield kit.with_partners(found)
