"""An event of a case that could not be applied, and the operator who gives it up."""

from svckit import parking, repair
from svckit.eventlog import Stored
from svckit.service import reader_of

CASES = "case.v1"


async def parked(db, consumer, case):
    record = Stored(CASES, 0, 1, case.encode(), {}, b"junk")
    async with db.begin() as tx:
        await parking.park(tx, consumer, "log", record, parking.Block("poison"), error="x")


async def given_up(db, service, case):
    async with db.begin() as tx:
        assert await repair.skip_key(tx, reader_of(service), CASES, case, actor="operator") == 1
