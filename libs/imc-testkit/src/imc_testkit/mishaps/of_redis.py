"""Redis dies, hangs, fills up, forgets, or is replaced by one that knew less."""

from imc_contracts import names

from imc_testkit.mishaps.site import READY_SECONDS, Mishap, Site
from imc_testkit.waiting import wait_until

_POISON: list[dict[str, str]] = [{"k": "s", "v": "no json"}, {"k": "?", "v": "{}"}, {"other": "thing"}]


async def _killed(site: Site) -> None:
    await site.redis.kill()
    await site.moment()
    await site.redis.start()


async def _hung(site: Site) -> None:
    site.redis.pause()
    await site.moment()
    site.redis.resume()


async def _out_of_memory(site: Site) -> None:
    async with site.load.stores.redis() as redis:
        await redis.config_set("maxmemory", "1mb")  # pyright: ignore[reportUnknownMemberType]
        await site.moment()
        await redis.config_set("maxmemory", "0")  # pyright: ignore[reportUnknownMemberType]


async def _disk_full(site: Site) -> None:
    with site.redis_disk.filled():
        await site.moment()


async def _emptied(site: Site) -> None:
    """After a pause: what is not yet in the database would be lost with it, as it must."""
    await site.load.pause(READY_SECONDS)
    async with site.load.stores.redis() as redis:
        await redis.flushall()  # pyright: ignore[reportUnknownMemberType]
    site.load.begin()


async def _replaced_by_an_older(site: Site) -> None:
    """As when a replica that was late is promoted. What it lacks is in the database by then."""
    await site.load.pause(READY_SECONDS)
    with site.redis.kept_data() as kept:
        site.load.begin()
        await site.load.more(40, READY_SECONDS)
        await site.load.pause(READY_SECONDS)
        await site.redis.kill()
        site.redis.put_back(kept)
    await site.redis.start()
    site.load.replay_from_here()
    site.load.begin()


async def _poisoned(site: Site) -> None:
    """Entries that are none of ours are put into a log by hand.

    In a pause: until all is projected the counters of the log, which this run goes by, are off by them.
    """
    await site.load.pause(READY_SECONDS)
    app_id = site.random.choice(site.load.app_ids)
    async with site.load.stores.redis() as redis:
        letters = await redis.xlen(names.dead_letters(app_id))
        for fields in _POISON:
            await redis.xadd(names.log(app_id), fields)  # pyright: ignore[reportUnknownMemberType, reportArgumentType]

        async def are_put_aside() -> bool:
            return await redis.xlen(names.dead_letters(app_id)) == letters + len(_POISON)

        await wait_until(are_put_aside, READY_SECONDS, what="the poison in the dead letters")
    site.load.begin()


MISHAPS: dict[str, Mishap] = {
    "redis killed": _killed,
    "redis hung": _hung,
    "redis out of memory": _out_of_memory,
    "redis out of disk": _disk_full,
    "redis emptied": _emptied,
    "older redis promoted": _replaced_by_an_older,
    "log poisoned": _poisoned,
}
"""By what happens."""
