"""Kill either end at any moment, stop it, repeat records: no change is lost, none applied twice."""

import asyncio
import contextlib
import json
import random
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from sqlalchemy import text
from svckit import contracts, tables
from svckit.db import Database
from svckit.eventlog import Record, connect
from svckit.outbox import Event, record

THING = "org.careloop.thing.changed.v1"
END = Path(__file__).with_name("event_path.py")
KEYS, WRITERS, CHANGES, FAULTS = 12, 4, 60, 10


@pytest.fixture(params=["postgres", pytest.param("kafka", marks=pytest.mark.kafka)])
def log_url(request):
    if request.param == "kafka":
        return request.getfixturevalue("kafka_broker").url
    return request.getfixturevalue("empty_database")()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "events").mkdir()
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    (tmp_path / "events" / "thing.changed.v1.schema.json").write_text(json.dumps(schema))
    contracts.use(tmp_path)
    yield tmp_path
    contracts.use(None)


@pytest.fixture
async def ends(empty_database):
    """The database of the sender, with things, and that of the receiver, with a ledger."""
    found = [Database(empty_database(), 6) for _ in range(2)]
    for db in found:
        async with db.engine.begin() as connection:
            await connection.run_sync(tables.metadata.create_all)
            await connection.exec_driver_sql(
                "CREATE TABLE thing (id text PRIMARY KEY, version int NOT NULL)"
            )
            await connection.exec_driver_sql(
                "CREATE TABLE ledger (n bigint GENERATED ALWAYS AS IDENTITY,"
                " subject text, version int)"
            )
    yield found
    for db in found:
        await db.dispose()


async def write(db):
    async with db.engine.begin() as connection:
        await connection.execute(
            text("INSERT INTO thing SELECT 'thing' || n, 0 FROM generate_series(0, :top) n"),
            {"top": KEYS - 1},
        )

    async def writer(seed):
        dice = random.Random(seed)
        for _ in range(CHANGES):
            async with db.begin() as tx:
                thing = f"thing{dice.randrange(KEYS)}"
                version = await tx.scalar(
                    text("UPDATE thing SET version = version + 1 WHERE id = :id RETURNING version"),
                    {"id": thing},
                )
                await record(tx, Event(THING, thing, version, thing, {"n": version}))
                if dice.random() < 0.1:
                    await tx.rollback()
            await asyncio.sleep(dice.random() * 0.1)

    await asyncio.gather(*(writer(seed) for seed in range(WRITERS)))


class Ends:
    """The processes; a fault is a kill, or a pause longer than the process notices."""

    def __init__(self, commands):
        self._commands = commands
        self._running = [self._start(command) for command in commands]

    def _start(self, command):
        return subprocess.Popen([sys.executable, str(END), *command])

    async def hurt(self, dice):
        number = dice.randrange(len(self._running))
        process = self._running[number]
        if dice.random() < 0.3:
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(0.5)
            process.send_signal(signal.SIGCONT)
            return
        process.kill()
        await asyncio.to_thread(process.wait)
        self._running[number] = self._start(self._commands[number])

    def end(self):
        for process in self._running:
            _until_it_listens(process.pid)
            process.terminate()
        return [process.wait(15) for process in self._running]


def _until_it_listens(pid, within_s=30):
    """One that was started just now handles SIGTERM only when its imports are done."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/status").read_text()
        caught = int(re.search(r"SigCgt:\s*([0-9a-f]+)", status)[1], 16)
        if caught >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.05)


async def repeat_some(log, topic, dice):
    """Send records of the topic once more, as a producer does that lost an answer."""
    member = await log.consumer(f"repeat-{uuid.uuid4().hex[:6]}", [topic])
    found = []
    deadline = time.monotonic() + 60
    while len(found) < 50:
        assert time.monotonic() < deadline, "nothing was relayed"
        for at in member.unplaced():
            await member.place(at, 0)
        async with member.batches(limit=200, wait_s=0.2) as batches:
            for records in batches.values():
                found.extend(records)
    await member.close()
    producer = await log.producer()
    again = [each for each in found if dice.random() < 0.2]
    for each in again:
        headers = {name: value.decode() for name, value in each.headers.items()}
        await producer.send([Record(topic, each.key.decode(), headers, each.value)])
    await producer.close()
    return len(again)


async def expected(db):
    async with db.read() as session:
        rows = await session.execute(text("SELECT id, version FROM thing WHERE version > 0"))
        return {row.id: list(range(1, row.version + 1)) for row in rows}


async def ledger(db):
    async with db.read() as session:
        rows = await session.execute(text("SELECT subject, version FROM ledger ORDER BY n"))
        found = {}
        for row in rows:
            found.setdefault(row.subject, []).append(row.version)
        return found


async def test_faults_at_either_end_lose_nothing_and_double_nothing(log_url, folder, ends):
    sender, receiver = ends
    log = await connect(log_url)
    topic = f"chaos-{uuid.uuid4().hex[:8]}.v1"
    await log.ensure([topic])
    dice = random.Random(1)
    send = ("relay", sender.url, log_url, topic, str(folder))
    receive = ("consume", receiver.url, log_url, topic, str(folder))
    processes = Ends([send, send, receive, receive])
    with contextlib.ExitStack() as stack:
        codes = []
        stack.callback(lambda: codes.extend(processes.end()))
        writing = asyncio.create_task(write(sender))
        for _ in range(FAULTS):
            await asyncio.sleep(1 + dice.random())
            await processes.hurt(dice)
        await writing
        repeated = await repeat_some(log, topic, dice)
        wanted = await expected(sender)
        deadline = time.monotonic() + 90
        while (found := await ledger(receiver)) != wanted:
            assert time.monotonic() < deadline, _difference(wanted, found)
            await asyncio.sleep(0.1)
    assert repeated > 0
    async with receiver.read() as session:
        assert await session.scalar(text("SELECT count(*) FROM parked_message")) == 0
    assert codes == [0, 0, 0, 0]


def _difference(wanted, found):
    return {
        key: (len(wanted[key]), found.get(key)) for key in wanted if wanted[key] != found.get(key)
    }
