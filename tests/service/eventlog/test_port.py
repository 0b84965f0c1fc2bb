"""What any event log must do, by the port alone."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from svckit.eventlog import PARTITIONS, OffsetLost, TopicPartition

from tests.service.eventlog.world import place_all, plain, read, send, until

MEMBER = Path(__file__).with_name("member.py")


async def test_records_of_one_key_are_read_in_the_order_they_were_sent(log, topic, group):
    sent = [plain(topic, f"key{number % 7}", number) for number in range(140)]
    await send(log, sent)
    member = await log.consumer(group, [topic])
    found = await read(member, 140)
    await member.close()
    for key in range(7):
        numbers = [int(record.value) for record in found if record.key == f"key{key}".encode()]
        assert numbers == list(range(key, 140, 7))


async def test_a_record_is_read_as_it_was_sent(log, topic, group):
    await send(log, [plain(topic, "schlüssel", 7)])
    member = await log.consumer(group, [topic])
    (found,) = await read(member, 1)
    await member.close()
    assert (found.topic, found.offset) == (topic, 0)
    assert (found.key, dict(found.headers), found.value) == (
        "schlüssel".encode(),
        {"n": b"7"},
        b"7",
    )


async def test_offsets_have_no_gaps_with_many_producers(log, topic, group):
    async def produce(number):
        for batch in range(5):
            await send(log, [plain(topic, f"k{number}-{n}", batch) for n in range(20)])

    await asyncio.gather(*(produce(number) for number in range(6)))
    member = await log.consumer(group, [topic])
    found = await read(member, 600)
    ends = await member.ends()
    await member.close()
    offsets = {}
    for record in found:
        offsets.setdefault(record.partition, []).append(record.offset)
    for partition, numbers in offsets.items():
        assert numbers == list(range(len(numbers)))
        assert ends[TopicPartition(topic, partition)] == len(numbers)


async def test_a_partition_gives_nothing_until_it_is_placed(log, topic, group):
    await send(log, [plain(topic, "k", 1)])
    member = await log.consumer(group, [topic])
    await until(lambda: _polled(member))
    async with member.batches(limit=10, wait_s=0.5) as batches:
        assert batches == {}
    assert len(member.unplaced()) == PARTITIONS
    await place_all(member)
    assert member.unplaced() == set()
    assert len(await read(member, 1)) == 1
    await member.close()


async def _polled(member):
    async with member.batches(limit=1, wait_s=0.1):
        return len(member.unplaced()) == PARTITIONS


async def test_records_come_again_from_the_offset_where_the_reader_is_placed(log, topic, group):
    await send(log, [plain(topic, "k", number) for number in range(10)])
    member = await log.consumer(group, [topic])
    found = await read(member, 10)
    at = TopicPartition(topic, found[0].partition)
    member.unplace(at)
    assert at in member.unplaced()
    await member.place(at, 6)
    again = await read(member, 4)
    await member.close()
    assert [record.offset for record in again] == [6, 7, 8, 9]


async def test_an_offset_the_log_does_not_have_is_refused(log, topic, group):
    await send(log, [plain(topic, "k", number) for number in range(3)])
    member = await log.consumer(group, [topic])
    found = await read(member, 3)
    with pytest.raises(OffsetLost):
        await member.place(TopicPartition(topic, found[0].partition), 4)
    await member.close()


async def test_two_members_share_the_partitions_and_one_takes_over_when_the_other_leaves(
    log, topic, group
):
    first = await log.consumer(group, [topic])
    await place_all(first)
    second = await log.consumer(group, [topic])

    async def shared():
        sizes = [await _held(member) for member in (first, second)]
        return sizes == [PARTITIONS // 2, PARTITIONS // 2]

    await until(shared, 30)
    assert not (set(await first.ends()) & set(await second.ends()))
    await second.close()
    await until(lambda: _holds_all(first), 30)
    await first.close()


async def _held(member):
    for at in member.unplaced():
        await member.place(at, 0)
    async with member.batches(limit=1, wait_s=0.05):
        return len(await member.ends())


async def _holds_all(member):
    return await _held(member) == PARTITIONS


async def test_the_partitions_of_a_killed_process_are_taken_over(log, log_url, topic, group):
    await send(log, [plain(topic, f"k{number}", number) for number in range(40)])
    process = subprocess.Popen(
        [sys.executable, str(MEMBER), log_url, group, topic], stdout=subprocess.PIPE, text=True
    )
    try:
        while True:
            held, _, read_now = process.stdout.readline().partition(" ")
            if int(held) == PARTITIONS and int(read_now) > 0:
                break
    finally:
        process.kill()
        process.communicate()
    member = await log.consumer(group, [topic])
    await until(lambda: _polled(member), 40)
    found = await read(member, 40)
    assert {int(record.value) for record in found} == set(range(40))
    await member.close()


async def test_anybody_may_ask_where_each_partition_ends(log, topic):
    await send(log, [plain(topic, f"key{n}", n) for n in range(40)])
    ends = await log.ends([topic, "never-made.v1"])
    assert sorted(at.partition for at in ends) == list(range(8))
    assert ({at.topic for at in ends}, sum(ends.values())) == ({topic}, 40)


async def test_creating_a_topic_again_changes_nothing(log, topic):
    before = await log.identity(topic)
    await log.ensure([topic])
    assert await log.identity(topic) == before


async def test_two_topics_have_two_identities(log, topic):
    await log.ensure([f"other-{topic}"])
    assert await log.identity(topic) != await log.identity(f"other-{topic}")
