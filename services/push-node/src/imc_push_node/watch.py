"""What is looked at each second, since no event tells of it: lost news, lost tails, stuck gateways."""

import asyncio

from imc_contracts.codes import CloseCode
from imc_service.logs import logger

from imc_push_node.hub import App, Hub
from imc_push_node.log_reader import REDIS_FAULTS, LogReader
from imc_push_node.registration import Registration
from imc_push_node.subscriber import Subscriber
from imc_push_node.tail import TAIL_SECONDS

log = logger("watch")

PERIOD_SECONDS = 1.0
APPS_AT_ONCE = 200
"""Apps asked about in one round trip: a longer reply would hold up the pushes of others."""


class Watch:
    """Looks after all apps of the node."""

    def __init__(
        self,
        hub: Hub,
        reader: LogReader,
        registration: Registration,
        subscriber: Subscriber,
        stall_seconds: float,
    ) -> None:
        self._hub = hub
        self._reader = reader
        self._registration = registration
        self._subscriber = subscriber
        self._stall_seconds = stall_seconds

    async def run(self) -> None:
        """Look each second until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            self._look_at_gateways()
            apps = [app for app in self._hub.apps if app.audience.has_begun]
            try:
                for first in range(0, len(apps), APPS_AT_ONCE):
                    some = apps[first : first + APPS_AT_ONCE]
                    await self._registration.check(some)
                    await self._look_at_logs(some)
            except REDIS_FAULTS as error:
                log.debug("the logs can't be looked at", fault=type(error).__name__)
            except Exception as error:
                log.error("a look at the logs failed", exc_info=error)

    async def _look_at_logs(self, apps: list[App]) -> None:
        # The tips before the question: an answer may be older than what is told while it is on its way.
        tips = [app.audience.tip for app in apps]
        states = await self._reader.states([app.app_id for app in apps])
        looks = zip(apps, tips, states, strict=True)
        behind = [(app.feed, state.point) for app, tip, state in looks if app.feed.check(state, tip)]
        if behind:
            try:
                async with asyncio.timeout(PERIOD_SECONDS):
                    await self._subscriber.heard_all()
            except TimeoutError:
                return  # so much is on its way that nothing can be said of the newest; look again later
            for feed, point in behind:
                feed.expect(point)

    def _look_at_gateways(self) -> None:
        now = asyncio.get_running_loop().time()
        for app in self._hub.apps:
            app.audience.tail.forget(now - TAIL_SECONDS)
            for gateway in list(app.full):
                if gateway.is_stuck(now, self._stall_seconds):
                    gateway.socket.close(CloseCode.NO_PROGRESS, "too slow for too long")
