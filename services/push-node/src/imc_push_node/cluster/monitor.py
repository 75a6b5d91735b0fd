"""Checks each second what no event reports: newest batches that were lost, lost takeovers, stuck gateways."""

import asyncio

from imc_contracts.codes import CloseCode
from imc_service.logs import get_logger

from imc_push_node.cluster.takeover import Takeover
from imc_push_node.pubsub.subscriber import Subscriber
from imc_push_node.stream import log_state, poll
from imc_push_node.stream.hub import App, Hub
from imc_push_node.stream.log_reader import REDIS_FAULTS
from imc_push_node.stream.recent_pages import RECENT_SECONDS
from imc_push_node.stream.replay_buffer import REPLAY_BUFFER_SECONDS

logger = get_logger("monitor")

PERIOD_SECONDS = 1.0
APPS_AT_ONCE = 200
"""How many apps one round trip asks about. A longer reply would delay the pushes of other apps."""


class Monitor:
    """Checks all apps of a node."""

    def __init__(
        self,
        hub: Hub,
        takeover: Takeover,
        subscriber: Subscriber,
        stall_seconds: float,
    ) -> None:
        self._hub = hub
        self._takeover = takeover
        self._subscriber = subscriber
        self._stall_seconds = stall_seconds

    async def run(self) -> None:
        """Check each second until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            self._check_gateways()
            apps = [app for app in self._hub.apps if app.delivery.outbox.has_begun]
            try:
                for first in range(0, len(apps), APPS_AT_ONCE):
                    await self._check_apps(apps[first : first + APPS_AT_ONCE])
            except REDIS_FAULTS as error:
                logger.debug("the logs can't be polled", fault=type(error).__name__)
            except Exception as error:
                logger.error("polling the logs failed", exc_info=error)

    async def _check_apps(self, apps: list[App]) -> None:
        # The heads are read before Redis is asked: pushes that arrive meanwhile may be newer than its answer.
        heads = [app.delivery.outbox.head for app in apps]
        commands = b"".join([poll.TIME, *(app.poll_commands for app in apps)])
        now, *answers = await self._subscriber.ask(commands, 1 + poll.REPLIES * len(apps))
        for app, look in zip(apps, zip(heads, answers[::2], answers[1::2], strict=True), strict=True):
            # Most apps are quiet. If nothing has changed since the last check found no fault, there is none.
            if look == app.last_poll:
                continue
            head, fields, fence = look
            has_all_entries = app.follower.check(log_state.read((int(now[0]), int(now[1])), fields), head)
            has_all_takeovers = await self._takeover.check(app, int(fence or 0))
            app.last_poll = look if has_all_entries and has_all_takeovers else None

    def _check_gateways(self) -> None:
        now = asyncio.get_running_loop().time()
        self._hub.recent.forget(now - RECENT_SECONDS)
        for app in self._hub.apps:
            app.delivery.outbox.replay_buffer.forget(now - REPLAY_BUFFER_SECONDS)
            for gateway in list(app.delivery.full):
                if gateway.is_stuck(now, self._stall_seconds):
                    gateway.socket.close(CloseCode.NO_PROGRESS, "too slow for too long")
