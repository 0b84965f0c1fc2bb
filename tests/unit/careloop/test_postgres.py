import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from careloop import postgres
from careloop.process import is_alive


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="careloop-tests-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


def run(url: str, *statements: str) -> list[object]:
    async def work() -> list[object]:
        connection = await asyncpg.connect(url)
        try:
            return [await connection.fetchval(statement) for statement in statements]
        finally:
            await connection.close()

    return asyncio.run(work())


def test_a_given_server_is_used_and_never_stopped(folder: Path):
    server = postgres.start(folder, url="postgresql://a:b@db.internal/postgres")
    server.stop()
    assert server.url == "postgresql://a:b@db.internal/postgres"
    assert list(folder.iterdir()) == []


def test_the_server_serves_our_folder_as_somebody_else_than_root(folder: Path):
    server = postgres.start(folder, settings=postgres.THROWAWAY)
    try:
        (served,) = run(server.url, "SHOW data_directory")
        assert Path(str(served)) == (folder / "postgres" / "data").resolve()
        assert Path(f"/proc/{server.pid}").stat().st_uid != 0
    finally:
        server.stop()


def test_a_wrong_password_is_refused(folder: Path):
    server = postgres.start(folder, settings=postgres.THROWAWAY)
    try:
        with pytest.raises(asyncpg.InvalidPasswordError):
            run(server.database_url("postgres", postgres.SUPERUSER, "guess"), "SELECT 1")
    finally:
        server.stop()


def test_data_survives_a_kill_and_the_next_start_takes_it_over(folder: Path):
    first = postgres.start(folder)
    run(first.url, "CREATE TABLE kept (id int)", "INSERT INTO kept VALUES (7)")
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    assert first.process is not None
    first.process.wait()

    second = postgres.start(folder)
    try:
        assert run(second.url, "SELECT id FROM kept") == [7]
    finally:
        second.stop()
    assert not is_alive(second.pid or 0)


def test_a_lock_file_that_names_a_stranger_does_not_stop_the_start(folder: Path):
    first = postgres.start(folder, settings=postgres.THROWAWAY)
    first.stop()
    lock = folder / "postgres" / "data" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{lock.parent}\n0\n0\n\n127.0.0.1\n0\nready\n")

    second = postgres.start(folder, settings=postgres.THROWAWAY)
    second.stop()
    assert second.pid != os.getpid()


def test_files_of_another_major_version_are_left_alone(folder: Path):
    data = folder / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(postgres.PostgresFailure, match="written by PostgreSQL 9"):
        postgres.start(folder)
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]
