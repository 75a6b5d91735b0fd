"""The list of apps, which tells projectors what to read. A quota limits how fast it grows."""

import math

from imc_contracts import names
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_service.redis.client import script_in
from redis.asyncio import Redis

HOUR_US = 3_600_000_000
MICROSECONDS = 1_000_000

REMEMBERED = 10_000
"""Apps that a process remembers to be in the list. It does not ask Redis again for these."""


class AppList:
    """The apps that have a log. Methods may raise what redis-py raises; then call them again."""

    def __init__(self, redis: Redis, new_apps_per_hour: int = 0) -> None:
        """All new apps of an hour may come at once. 0 is no limit."""
        self._script = script_in(redis, "imc_command_api.log", "announce.lua")
        self._per_hour = new_apps_per_hour
        self._known: set[str] = set()

    def __contains__(self, app_id: str) -> bool:
        """Whether this process knows that the app is in the list."""
        return app_id in self._known

    async def add(self, app_id: str, *, is_limited: bool) -> None:
        """Add ``app_id`` to the list, if it is new. The quota applies if ``is_limited``.

        Raises `Refused` (`QUOTA_USED_UP`).
        """
        app_us = HOUR_US / self._per_hour if self._per_hour and is_limited else 0
        wait_us = await self._script(keys=[names.APPS, names.NEW_APPS], args=[app_id, app_us, HOUR_US])
        if wait_us:
            words = (
                f"the quota of {self._per_hour} new apps an hour is used up and this app is a new one; "
                "nothing was accepted, check the appId or try again later"
            )
            raise Refused(ErrorCode.QUOTA_USED_UP, words, retry_after=math.ceil(wait_us / MICROSECONDS))
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known.add(app_id)

    async def add_again(self, app_id: str) -> None:
        """Add an app whose log began anew: Redis was emptied, or the app was forgotten."""
        self._known.discard(app_id)  # adding may fail
        await self.add(app_id, is_limited=False)
