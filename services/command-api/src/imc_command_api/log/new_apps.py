"""The quota of new apps: it limits how fast the number of logs grows."""

import math

from imc_contracts import names
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_service.redis.masters import Masters

HOUR_US = 3_600_000_000
MICROSECONDS = 1_000_000

REMEMBERED = 10_000
"""Apps that a process remembers to have a log. They may begin again without the quota."""


class NewApps:
    """Tells which apps may begin a log."""

    def __init__(self, masters: Masters, per_hour: int = 0) -> None:
        """All new apps of an hour may come at once. 0 is no limit."""
        self._script = masters.script("imc_command_api.log", "take_new_app.lua")
        self._per_hour = per_hour
        self._known: set[str] = set()

    def may_begin(self, app_id: str) -> bool:
        """Whether the app may begin a log without the quota, as after Redis was emptied."""
        return self._per_hour == 0 or app_id in self._known

    def has_log(self, app_id: str) -> None:
        """Remember that the app has a log."""
        if self._per_hour and app_id not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known.add(app_id)

    async def take(self) -> None:
        """Take one new app from the quota; raises `Refused` (`QUOTA_USED_UP`), and what redis-py raises."""
        wait_us = await self._script(keys=[names.NEW_APPS], args=[HOUR_US / self._per_hour, HOUR_US])
        if wait_us:
            words = (
                f"the quota of {self._per_hour} new apps an hour is used up and this app is a new one; "
                "nothing was accepted, check the appId or try again later"
            )
            raise Refused(ErrorCode.QUOTA_USED_UP, words, retry_after=math.ceil(wait_us / MICROSECONDS))
