"""Two services, their PostgreSQL and partners' receivers as processes, and what each of them costs."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import orjson
from notify_svc.consumer import HANDLERS
from svckit import tables, testing
from svckit.clock import now
from svckit.cloudevents import Received
from svckit.db import Database
from svckit.ids import new_id

from careloop import binaries
from careloop import postgres as embedded
from careloop.ports import free_port
from careloop.process import unprivileged

ROOT = Path(__file__).parents[2]
ENDPOINTS, BLACK = 20, 4
WITHIN_S = 60
_TICK = os.sysconf("SC_CLK_TCK")
# By commit time, which PostgreSQL keeps of each row's transaction: nothing polls while it runs.
_COMMITTED = "extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8"
RECORDED = f"SELECT resource, {_COMMITTED} FROM audit WHERE action = 'note.add'"
LOGGED = f"SELECT headers->>'ce_id', {_COMMITTED} FROM log_record"
APPLIED = f"SELECT event_id, {_COMMITTED} FROM inbox"
_STATEMENTS = """
SELECT r.rolname, sum(s.calls)::float8 FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
WHERE r.rolname LIKE 'bench_%' GROUP BY 1
"""


@dataclass
class Server:
    """A PostgreSQL of its own, durable as the sandbox's, that keeps commit times and counts."""

    postgres: embedded.Postgres
    counts: bool
    folder: Path

    @property
    def url(self):
        return self.postgres.url

    def as_role(self, role, url):
        """The address as another role: so that its statements are counted apart."""
        return url.replace(f"//{embedded.SUPERUSER}:", f"//{role}:", 1)

    async def rows(self, url, statement):
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    async def prepare(self):
        password = self.url.partition("//")[2].partition("@")[0].partition(":")[2]
        for role in ("bench_case", "bench_notify"):
            made = f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{password}'"
            await self.rows(self.url, made)
        if self.counts:
            await self.rows(self.url, "CREATE EXTENSION pg_stat_statements")

    async def statements(self):
        return dict(await self.rows(self.url, _STATEMENTS)) if self.counts else {}

    def cpu_s(self):
        """Of the server and all its backends, also those that ended."""
        main = cpu_s(self.postgres.pid, ended=True)
        children = Path(f"/proc/{self.postgres.pid}/task/{self.postgres.pid}/children")
        return main + sum(cpu_s(int(pid)) for pid in children.read_text().split())


@contextlib.contextmanager
def server():
    folder = Path(tempfile.mkdtemp(prefix="careloop-bench-"))
    folder.chmod(0o711)
    programs = binaries.find(unprivileged())
    counts = any(programs.folder.parent.rglob("pg_stat_statements.so"))
    settings = {"track_commit_timestamp": "on"}
    if counts:
        settings["shared_preload_libraries"] = "pg_stat_statements"
    found = embedded.start(folder, settings=settings)
    try:
        yield Server(found, counts, folder)
    finally:
        found.stop()
        shutil.rmtree(folder, ignore_errors=True)


def cpu_s(pid, *, ended=False):
    """CPU of a process, with its ended children if asked; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(field) for field in fields[11 : 15 if ended else 13]) / _TICK


class Process:
    def __init__(self, running):
        self._running = running
        self.pid = running.pid

    @classmethod
    async def start(cls, *arguments, **environment):
        running = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *arguments,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return cls(running)

    async def ask(self, line):
        self._running.stdin.write(f"{line}\n".encode())
        await self._running.stdin.drain()
        return (await self._running.stdout.readline()).decode()

    async def output(self):
        return (await self._running.communicate())[0].decode()

    async def end(self):
        if self._running.returncode is None:
            self._running.stdin.close()
            self._running.send_signal(signal.SIGTERM)
            await asyncio.wait_for(self._running.communicate(), WITHIN_S)


class World:
    """The custodians with an endpoint each, told by one service and served by another."""

    def __init__(self, server, issuer):
        self.server, self.issuer = server, issuer
        self.organisations = [new_id("org") for _ in range(ENDPOINTS)]
        self.port, self.sink_port = free_port(), free_port()
        self.http = httpx.AsyncClient(trust_env=False, timeout=30)
        databases = testing.Databases(server.url)
        self.case, self.log, self.notify = (
            databases.empty(),
            databases.empty(),
            databases.migrated("notify_svc"),
        )
        self.processes = {}

    async def prepare(self):
        await self.server.prepare()
        db = Database(self.case, 2)
        async with db.engine.begin() as connection:
            await connection.run_sync(tables.metadata.create_all)
        await db.dispose()
        db = Database(self.notify, 2)
        for one in self.organisations:
            async with db.begin() as tx:
                await HANDLERS[REGISTERED](tx, registered(one))
        await db.dispose()
        self.processes["sink"] = await Process.start("tests.bench.sink", str(self.sink_port))
        await self.start_notify("serve")
        role = self.server.as_role
        self.processes["case"] = await Process.start(
            "tests.bench.producing",
            role("bench_case", self.case),
            role("bench_case", self.log),
            *self.organisations,
        )
        for number, one in enumerate(self.organisations):
            await self._register(one, f"/hook/{number}")
        await self.until(self._are_verified)

    async def start_notify(self, what):
        role = self.server.as_role
        environment = testing.environment(
            "notify_svc",
            role("bench_notify", self.notify),
            event_log_url=role("bench_notify", self.log),
            issuer=self.issuer.url,
            internal_jwks_url=self.issuer.jwks_url,
            port=str(self.port),
            allow_private_targets="true",
            log_level="error",
        )
        self.processes["notify"] = await Process.start("notify_svc", what, **environment)
        if what == "serve":
            await self.until(self._is_ready)

    async def _is_ready(self):
        with contextlib.suppress(httpx.TransportError):
            answer = await self.http.get(f"http://127.0.0.1:{self.port}/readyz")
            return answer.status_code == 200
        return False

    async def _register(self, organisation, path):
        token = self.issuer.token("notify-svc", org=organisation)
        answer = await self.http.post(
            f"http://127.0.0.1:{self.port}/v1/webhook-endpoints",
            json={"url": f"http://127.0.0.1:{self.sink_port}{path}"},
            headers={"Authorization": f"Bearer {token}", "Idempotency-Key": new_id("key")},
        )
        assert answer.status_code == 201, answer.text
        await self.sink("/trust", [path, answer.json()["secret"]])

    async def _are_verified(self):
        verified = "SELECT count(*) FILTER (WHERE enabled) FROM webhook_endpoint"
        return (await self.server.rows(self.notify, verified))[0][0] == ENDPOINTS

    async def sink(self, path, content=None):
        url = f"http://127.0.0.1:{self.sink_port}{path}"
        answer = await self.http.post(url, content=orjson.dumps(content))
        return orjson.loads(answer.content) if answer.content else None

    async def produce(self, rate, seconds):
        return int(await self.processes["case"].ask(f"{rate} {seconds}"))

    async def until(self, condition, within_s=WITHIN_S):
        async with asyncio.timeout(within_s):
            while not (found := await condition()):
                await asyncio.sleep(0.1)
        return found

    async def close(self):
        for process in reversed(self.processes.values()):
            await process.end()
        await self.http.aclose()


REGISTERED = "org.careloop.organisation.registered.v1"


def registered(organisation):
    data = {
        "id": organisation,
        "version": 1,
        "custodian_id": None,
        "person_id": None,
        "case_id": None,
        "parties": [],
        "classes": [],
        "href": f"/v1/organisations/{organisation}",
        "change": {"kind": "clinic", "name": "A partner"},
    }
    return Received(
        new_id("evt"), REGISTERED, "careloop/bench", organisation, 1, organisation, now(), data
    )
