"""A mishap from its beginning until it is overcome."""

import time
from dataclasses import dataclass

from imc_testkit.mishaps import of_connections, of_gateways, of_mariadb, of_processes, of_redis
from imc_testkit.mishaps.site import READY_SECONDS, Mishap, Site

MISHAPS: dict[str, Mishap] = {
    **of_redis.MISHAPS,
    **of_mariadb.MISHAPS,
    **of_connections.MISHAPS,
    **of_processes.MISHAPS,
    **of_gateways.MISHAPS,
}
"""All there are, by what happens."""


@dataclass(frozen=True)
class Episode:
    """A mishap that happened; times as in the history."""

    name: str
    began: float
    made_good: float
    recovered: float
    """When sends went on and every process was ready."""


async def suffer(site: Site, name: str) -> Episode:
    """Bring a mishap about, and wait until it is overcome. Raises `AssertionError` if it is not."""
    site.load.note(name)
    began = time.monotonic()
    await MISHAPS[name](site)
    made_good = time.monotonic()
    await site.load.more(20, READY_SECONDS)
    await site.ready()
    recovered = time.monotonic()
    site.load.note(f"recovered from {name}")
    return Episode(name, began, made_good, recovered)
