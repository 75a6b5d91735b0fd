"""Replays the log of an app to gateways that are behind: they resume from a cursor, or their buffer was full.

One task of an app reads for all of them, from the lowest position among those that have room. A page serves
every gateway whose position lies within. So a thousand gateways that reconnect at once cost as many reads as
one, and those that come a moment later get the same page, see `RecentPages`.
"""

import asyncio
from collections.abc import Awaitable, Callable

from imc_contracts.codes import CloseCode, ErrorCode
from imc_contracts.cursor import Cursor
from imc_service.logs import get_logger
from imc_service.retry import Backoff

from imc_push_node.gateway import frames
from imc_push_node.gateway.gateway import Gateway, State
from imc_push_node.metrics import NodeMetrics
from imc_push_node.stream.delivery import READS_LOG, Delivery
from imc_push_node.stream.follower import Follower
from imc_push_node.stream.framed_entries import entry_id_of
from imc_push_node.stream.log_reader import REDIS_FAULTS, LogReader
from imc_push_node.stream.log_state import LogState, Stretch
from imc_push_node.stream.recent_pages import LogPage, RecentPages

logger = get_logger("log-replay")

Poll = Callable[[], Awaitable[LogState]]
"""Returns the state of the log, once all that was published until then is here. Raises `REDIS_FAULTS`."""

BACKOFF = Backoff(0.5)
SETTLE_SECONDS = 5.0


class LogReplay:
    """Serves the gateways of one app that read the log. `run` must be running."""

    def __init__(
        self,
        app_id: str,
        reader: LogReader,
        recent: RecentPages,
        poll_log: Poll,
        delivery: Delivery,
        follower: Follower,
        metrics: NodeMetrics,
    ) -> None:
        self._app_id = app_id
        self._reader = reader
        self._recent = recent
        self._poll_log = poll_log
        self._delivery = delivery
        self._outbox = delivery.outbox
        self._follower = follower
        self._metrics = metrics

    async def run(self) -> None:
        """Serve gateways until cancelled."""
        while True:
            self._delivery.log_reading.clear()
            try:
                self._push_from_replay_buffer()
                if ready := self._with_room(*READS_LOG):
                    await self._serve(ready)
                else:
                    await self._delivery.log_reading.wait()
            except REDIS_FAULTS:
                self._refuse_newcomers()
                await BACKOFF.pause()
            except Exception as fault:
                # A defect of unknown reach: the gateways are better off with a new start.
                logger.error("replaying the log failed", exc_info=fault)
                for gateway in self._delivery.gateways_in(*READS_LOG):
                    gateway.socket.close(CloseCode.TRY_AGAIN_LATER, "replaying the log failed")
                await BACKOFF.pause()

    def _with_room(self, *states: State) -> list[Gateway]:
        return [gateway for gateway in self._delivery.gateways_in(*states) if not gateway.socket.is_full]

    def _push_from_replay_buffer(self) -> None:
        """Serve lagging gateways from memory, as far as it goes."""
        self._delivery.flush()
        for gateway in self._with_room(State.LAGGING):
            if gateway.groups is None:
                self._push_broadcasts(gateway)

    def _push_broadcasts(self, gateway: Gateway) -> None:
        for end, pushes in self._outbox.replay_buffer.after(gateway.position, gateway.format):
            if gateway.socket.is_full:
                break
            self._delivery.push(gateway, pushes, end)
        self._go_live_at_head(gateway)

    async def _serve(self, ready: list[Gateway]) -> None:
        """Push the next part to each gateway: from memory if that is fresh, or else from a page read now."""
        if any(map(self._is_in_memory, ready)) and await self._is_memory_fresh():
            self._delivery.flush()
            ready = [
                gateway
                for gateway in ready
                if self._reads_log(gateway) and not self._push_from_memory(gateway)
            ]
        if ready:
            await self._read_and_push(ready)

    def _reads_log(self, gateway: Gateway) -> bool:
        return gateway.state in READS_LOG

    def _is_in_memory(self, gateway: Gateway) -> bool:
        return self._is_in_replay_buffer(gateway) or self._recent_page(gateway) is not None

    def _is_in_replay_buffer(self, gateway: Gateway) -> bool:
        # What is kept there is of all groups.
        return gateway.groups is None and self._outbox.replay_buffer.holds_after(
            gateway.position, gateway.format
        )

    def _recent_page(self, gateway: Gateway) -> LogPage | None:
        return self._recent.after(self._app_id, gateway.position, self._outbox.generation)

    async def _is_memory_fresh(self) -> bool:
        """Whether a read of the log would show nothing that is not known here, above all no recall."""
        head_before = self._outbox.head
        try:
            state = await self._poll_log()
        except REDIS_FAULTS:
            return False  # the log may be within reach all the same
        return self._follower.check(state, head_before)

    def _push_from_memory(self, gateway: Gateway) -> bool:
        """Push what follows from memory, if it is there, in the step in which memory is known to be fresh."""
        page = self._recent_page(gateway)
        if page is not None:
            self._push_page(gateway, page)
        elif self._is_in_replay_buffer(gateway):
            self._push_broadcasts(gateway)
        else:
            return False
        return True

    async def _read_and_push(self, ready: list[Gateway]) -> None:
        """Read one page of the log, and push its part of the page to each gateway."""
        head_before, generation = self._outbox.head, self._outbox.generation
        positions = [gateway.position for gateway in ready]
        known = [each for each in positions if each.is_unborn or each.epoch == head_before.epoch]
        start = min(known, key=entry_id_of, default=head_before)
        stretch = await self._reader.after(self._app_id, start)
        self._delivery.flush()
        if self._is_follower_behind(stretch, head_before, ready):
            self._follower.resync()
            async with asyncio.timeout(SETTLE_SECONDS):
                await self._follower.settled()
            return
        page = LogPage(stretch, self._outbox.head, generation)
        # If a recall came meanwhile, the page may have been read before it: it is of a past generation.
        if page.generation == self._outbox.generation:
            self._recent.keep(self._app_id, page, asyncio.get_running_loop().time())
        for gateway in filter(self._reads_log, ready):
            self._push_page(gateway, page)

    def _is_follower_behind(self, stretch: Stretch, head_before: Cursor, ready: list[Gateway]) -> bool:
        """Whether the log shows what the follower has not noticed yet: then the follower comes first."""
        state, head = stretch.state, self._outbox.head
        if state.stays_unborn_since(head):
            return False
        if state.epoch != head.epoch or state.last < head_before.entry:
            return True
        if stretch.lacks(head.entry):
            return True
        return any(
            gateway.position.epoch == head.epoch and head.entry < gateway.position.entry <= state.last
            for gateway in ready
        )

    def _push_page(self, gateway: Gateway, page: LogPage) -> None:
        position = gateway.position
        if not page.covers(position):
            return
        if not page.stretch.proves(position):
            origin = self._outbox.trail.origin_of(position)
            if origin is None:
                self._delivery.leave_log(gateway)
            else:
                self._delivery.go_back(gateway, origin)
            return
        if not gateway.has_listed:
            self._delivery.await_list(gateway)
            return
        self._delivery.push(gateway, page.after(position, gateway.format, gateway.groups), page.end)
        self._go_live_at_head(gateway)

    def _go_live_at_head(self, gateway: Gateway) -> None:
        if gateway.position == self._outbox.head:
            self._delivery.reach_head(gateway)

    def _refuse_newcomers(self) -> None:
        """Close gateways without a 2000: another node, or a later try, is better than waiting in silence."""
        for gateway in self._delivery.gateways_in(*READS_LOG):
            if not gateway.is_greeted:
                reason = "the log is out of reach: try again"
                gateway.socket.write(frames.not_connected(gateway.format, ErrorCode.UNAVAILABLE, reason))
                gateway.socket.close(CloseCode.TRY_AGAIN_LATER, "the log is out of reach")
                self._metrics.refused.inc()
