"""What is looked at each second, since no event tells of it: lost news, lost tails, stuck gateways."""

import asyncio

from imc_contracts.codes import CloseCode
from imc_service.logs import logger

from imc_push_node import log_state, questions
from imc_push_node.hub import App, Hub
from imc_push_node.log_reader import REDIS_FAULTS
from imc_push_node.recent_pages import RECENT_SECONDS
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
        registration: Registration,
        subscriber: Subscriber,
        stall_seconds: float,
    ) -> None:
        self._hub = hub
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
                    await self._look_at(apps[first : first + APPS_AT_ONCE])
            except REDIS_FAULTS as error:
                log.debug("the logs can't be looked at", fault=type(error).__name__)
            except Exception as error:
                log.error("a look at the logs failed", exc_info=error)

    async def _look_at(self, apps: list[App]) -> None:
        # The tips before the question: an answer may be older than what is told while it is on its way.
        tips = [app.audience.tip for app in apps]
        commands = b"".join([questions.TIME, *(app.questions for app in apps)])
        now, *answers = await self._subscriber.ask(commands, 1 + questions.REPLIES * len(apps))
        for app, look in zip(apps, zip(tips, answers[::2], answers[1::2], strict=True), strict=True):
            # Most apps are quiet: where nothing has changed since all was well, all is well.
            if look == app.look:
                continue
            tip, fields, fence = look
            lacks_nothing = app.feed.check(log_state.read((int(now[0]), int(now[1])), fields), tip)
            replaces_nobody = await self._registration.check(app, int(fence or 0))
            app.look = look if lacks_nothing and replaces_nobody else None

    def _look_at_gateways(self) -> None:
        now = asyncio.get_running_loop().time()
        self._hub.recent.forget(now - RECENT_SECONDS)
        for app in self._hub.apps:
            app.audience.tail.forget(now - TAIL_SECONDS)
            for gateway in list(app.audience.full) if app.audience.full else ():
                if gateway.is_stuck(now, self._stall_seconds):
                    gateway.socket.close(CloseCode.NO_PROGRESS, "too slow for too long")
