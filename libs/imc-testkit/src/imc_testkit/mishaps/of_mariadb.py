"""MariaDB dies, hangs, fills its disk, or lets nobody at its rows."""

from collections.abc import Awaitable, Callable

from imc_testkit import databases
from imc_testkit.mishaps.site import Mishap, Site


def _away(mishap: Callable[[Site], Awaitable[None]]) -> Mishap:
    """Queries may go wrong until every process is ready again."""

    async def with_note(site: Site) -> None:
        with site.load.database_away():
            await mishap(site)
            await site.ready()

    return with_note


async def _killed(site: Site) -> None:
    await site.mariadb.kill()
    await site.moment()
    await site.mariadb.start()


async def _hung(site: Site) -> None:
    site.mariadb.pause()
    await site.moment()
    site.mariadb.resume()


async def _disk_full(site: Site) -> None:
    """It may end itself over that; whoever runs it starts it again once there is room."""
    with site.mariadb_disk.filled():
        await site.moment()
    if site.mariadb.process.exit_code is not None:
        await site.mariadb.start()


async def _locked(site: Site) -> None:
    """Somebody else's transaction holds the rows that the projection writes to, then lets go."""
    async with databases.locked_rows(site.load.stores.database_url, "imc_group"):
        await site.moment()


MISHAPS: dict[str, Mishap] = {
    "mariadb killed": _away(_killed),
    "mariadb hung": _away(_hung),
    "mariadb out of disk": _away(_disk_full),
    "mariadb locked": _away(_locked),
}
"""By what happens."""
