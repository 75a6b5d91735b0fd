"""Faults of Redis: killed, hung, out of memory or disk space, emptied, replaced by an older copy."""

from imc_contracts import names

from imc_testkit.faults.testbed import READY_SECONDS, Fault, Testbed
from imc_testkit.waiting import wait_until

_INVALID_ENTRIES: list[dict[str, str]] = [
    {"k": "s", "v": "no json"},
    {"k": "?", "v": "{}"},
    {"other": "thing"},
]


async def _killed(testbed: Testbed) -> None:
    await testbed.redis.kill()
    await testbed.moment()
    await testbed.redis.start()


async def _hung(testbed: Testbed) -> None:
    testbed.redis.pause()
    await testbed.moment()
    testbed.redis.resume()


async def _out_of_memory(testbed: Testbed) -> None:
    async with testbed.load.stores.redis() as redis:
        await redis.config_set("maxmemory", "1mb")  # pyright: ignore[reportUnknownMemberType]
        await testbed.moment()
        await redis.config_set("maxmemory", "0")  # pyright: ignore[reportUnknownMemberType]


async def _disk_full(testbed: Testbed) -> None:
    with testbed.redis_disk.filled():
        await testbed.moment()


async def _emptied(testbed: Testbed) -> None:
    """Flush Redis during a pause: entries that the database lacks would be lost with it."""
    await testbed.load.pause(READY_SECONDS)
    async with testbed.load.stores.redis() as redis:
        await redis.flushall()  # pyright: ignore[reportUnknownMemberType]
    testbed.load.begin()


async def _replaced_by_older_copy(testbed: Testbed) -> None:
    """Restore an older copy, as if a stale replica were promoted. The database has what the copy lacks."""
    await testbed.load.pause(READY_SECONDS)
    with testbed.redis.kept_data() as kept:
        testbed.load.begin()
        await testbed.load.more(40, READY_SECONDS)
        await testbed.load.pause(READY_SECONDS)
        await testbed.redis.kill()
        testbed.redis.put_back(kept)
    await testbed.redis.start()
    testbed.load.replay_from_here()
    testbed.load.begin()


async def _invalid_entries_added(testbed: Testbed) -> None:
    """Add entries that are not events to a log, during a pause.

    The run waits by the counters of the log, which do not count these entries until they are dead-lettered.
    """
    await testbed.load.pause(READY_SECONDS)
    app_id = testbed.random.choice(testbed.load.app_ids)
    async with testbed.load.stores.redis() as redis:
        letters = await redis.xlen(names.dead_letters(app_id))
        for fields in _INVALID_ENTRIES:
            await redis.xadd(names.log(app_id), fields)  # pyright: ignore[reportUnknownMemberType, reportArgumentType]

        async def are_dead_lettered() -> bool:
            return await redis.xlen(names.dead_letters(app_id)) == letters + len(_INVALID_ENTRIES)

        await wait_until(are_dead_lettered, READY_SECONDS, what="the invalid entries to be dead-lettered")
    testbed.load.begin()


FAULTS: dict[str, Fault] = {
    "redis killed": _killed,
    "redis hung": _hung,
    "redis out of memory": _out_of_memory,
    "redis out of disk": _disk_full,
    "redis emptied": _emptied,
    "older redis promoted": _replaced_by_older_copy,
    "invalid log entries": _invalid_entries_added,
}
"""The faults of this module by name."""
