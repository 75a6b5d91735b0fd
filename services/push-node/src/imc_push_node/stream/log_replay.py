"""Gateways of an app that are behind: those that resume with a cursor, and those that were too slow.

One task an app reads the log for all of them, from the lowest place among those that have room. A page of it
serves every gateway whose place lies within, so that a thousand gateways that come back at once cost as many
reads as one; those that come a moment later get the same page, see `RecentPages`. A gateway that has come up
to the head goes live in the same step, without an await in between.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

from imc_contracts.codes import CloseCode, ErrorCode
from imc_contracts.cursor import Cursor
from imc_service.logs import get_logger

from imc_push_node.gateway import frames
from imc_push_node.gateway.gateway import Gateway
from imc_push_node.metrics import NodeMetrics
from imc_push_node.stream.follower import Follower
from imc_push_node.stream.framed_entries import entry_id_of
from imc_push_node.stream.log_reader import REDIS_FAULTS, LogReader
from imc_push_node.stream.log_state import LogState, Stretch
from imc_push_node.stream.recent_pages import LogPage, RecentPages
from imc_push_node.stream.subscribers import Subscribers

logger = get_logger("log-replay")

Look = Callable[[], Awaitable[LogState]]
"""Where the log stands, once all that was published until then has been heard. Raises `REDIS_FAULTS`."""

RETRY_SECONDS = 0.5
SETTLE_SECONDS = 5.0


class LogReplay:
    """The lagging gateways of one app."""

    def __init__(
        self,
        app_id: str,
        reader: LogReader,
        recent: RecentPages,
        look: Look,
        subscribers: Subscribers,
        follower: Follower,
        metrics: NodeMetrics,
    ) -> None:
        self._app_id = app_id
        self._reader = reader
        self._recent = recent
        self._look = look
        self._subscribers = subscribers
        self._follower = follower
        self._metrics = metrics
        self._lagging: set[Gateway] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.on_unproven: Callable[[Gateway], None] = self.give_up
        """Called with each gateway whose position the log can't prove, and that is let go here."""

    def __len__(self) -> int:
        return len(self._lagging)

    def add(self, gateway: Gateway, position: Cursor) -> None:
        """Bring a gateway up from ``position``."""
        gateway.position = position
        self._lagging.add(gateway)
        self._metrics.lagging.inc()
        self.wake()
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def discard(self, gateway: Gateway) -> None:
        """Let a gateway go."""
        if gateway in self._lagging:
            self._lagging.discard(gateway)
            self._metrics.lagging.dec()
            self.wake()

    def wake(self) -> None:
        """A gateway has room again."""
        self._wake.set()

    def close(self) -> None:
        """Stop reading."""
        self._lagging.clear()
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while self._lagging:
            self._wake.clear()
            ready = self._without_those_the_replay_buffer_serves()
            try:
                if ready:
                    await self._serve(ready)
                elif self._lagging:
                    await self._wake.wait()
            except REDIS_FAULTS:
                self._refuse_newcomers()
                await asyncio.sleep(RETRY_SECONDS * (0.5 + random.random()))  # noqa: S311
            except Exception as fault:
                # Ours, and of unknown reach: whoever waits here is better off with a new start.
                logger.error("catching up failed", exc_info=fault)
                for gateway in list(self._lagging):
                    gateway.socket.close(CloseCode.TRY_AGAIN_LATER, "catching up failed")
                    self.discard(gateway)
        self._task = None

    def _without_those_the_replay_buffer_serves(self) -> list[Gateway]:
        """Serve from memory whom it can; the others that have room."""
        self._subscribers.flush()
        for gateway in self._ready():
            if not gateway.is_resuming:
                self._give_replay_buffer(gateway)
        return self._ready()

    def _ready(self) -> list[Gateway]:
        return [gateway for gateway in self._lagging if not gateway.socket.is_full]

    def _give_replay_buffer(self, gateway: Gateway) -> None:
        for end, pushes in self._subscribers.replay_buffer.after(gateway.position, gateway.format):
            if gateway.socket.is_full:
                break
            gateway.greet(gateway.position, recovered=True)
            gateway.socket.write(pushes.frames)
            self._metrics.deliveries.inc(pushes.number)
            gateway.position = end
        if gateway.position == self._subscribers.head:
            self._go_live(gateway)

    async def _serve(self, ready: list[Gateway]) -> None:
        """Give each of ``ready`` its next part: of what is remembered, or of one page that is read now."""
        if any(map(self._remembers, ready)) and await self._is_memory_fresh():
            self._subscribers.flush()
            others = [gateway for gateway in ready if not self._gave_from_memory(gateway)]
            ready = [gateway for gateway in others if gateway in self._lagging]
        if ready:
            await self._read_and_give(ready)

    def _remembers(self, gateway: Gateway) -> bool:
        return self._is_in_replay_buffer(gateway) or self._page_after(gateway) is not None

    def _is_in_replay_buffer(self, gateway: Gateway) -> bool:
        return self._subscribers.replay_buffer.holds_after(gateway.position, gateway.format)

    def _page_after(self, gateway: Gateway) -> LogPage | None:
        return self._recent.after(self._app_id, gateway.position, self._subscribers.generation)

    async def _is_memory_fresh(self) -> bool:
        """Whether a read of the log would show nothing that has not been heard, a recall above all."""
        head_before = self._subscribers.head
        try:
            state = await self._look()
        except REDIS_FAULTS:
            return False  # the log may be within reach all the same
        return self._follower.check(state, head_before)

    def _gave_from_memory(self, gateway: Gateway) -> bool:
        """Give a gateway what is remembered next, in the step in which that is known to be fresh."""
        if gateway not in self._lagging:
            return False
        page = self._page_after(gateway)
        if page is not None:
            self._give(gateway, page)
        elif self._is_in_replay_buffer(gateway):
            self._give_replay_buffer(gateway)
        else:
            return False
        return True

    async def _read_and_give(self, ready: list[Gateway]) -> None:
        """Read one page of the log, and give each of ``ready`` its part of it."""
        head_before, generation = self._subscribers.head, self._subscribers.generation
        positions = [gateway.position for gateway in ready]
        places = [each for each in positions if each.is_unborn or each.epoch == head_before.epoch]
        start = min(places, key=entry_id_of, default=head_before)
        stretch = await self._reader.after(self._app_id, start)
        self._subscribers.flush()
        if self._is_follower_behind(stretch, head_before, ready):
            self._follower.resync()
            async with asyncio.timeout(SETTLE_SECONDS):
                await self._follower.settled()
            return
        page = LogPage(stretch, self._subscribers.head, generation)
        # If a recall was heard meanwhile, the page may have been read before it: it is of a past generation.
        if page.generation == self._subscribers.generation:
            self._recent.keep(self._app_id, page, asyncio.get_running_loop().time())
        for gateway in ready:
            if gateway in self._lagging:
                self._give(gateway, page)

    def _is_follower_behind(self, stretch: Stretch, head_before: Cursor, ready: list[Gateway]) -> bool:
        """Whether the log shows what the follower has not noticed yet: then the follower comes first."""
        state, head = stretch.state, self._subscribers.head
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

    def _give(self, gateway: Gateway, page: LogPage) -> None:
        point = gateway.position
        if not page.covers(point):
            return
        if not page.stretch.proves(point):
            self.discard(gateway)
            self.on_unproven(gateway)
            return
        gateway.greet(point, recovered=True)
        pushes = page.after(point, gateway.format)
        gateway.socket.write(pushes.frames)
        self._metrics.deliveries.inc(pushes.number)
        gateway.position = page.end
        if gateway.position == self._subscribers.head:
            self._go_live(gateway)

    def give_up(self, gateway: Gateway) -> None:
        """Tell a gateway that what follows its position is not known, and let it go on from the head."""
        self._subscribers.flush()
        point, head = gateway.offered or gateway.position, self._subscribers.head
        gateway.greet(head, recovered=False)
        self.announce_gap(gateway, point, head)
        self._go_live(gateway)

    def announce_gap(self, gateway: Gateway, start: Cursor, end: Cursor) -> None:
        """Tell a gateway of a gap, if its door has a frame for that."""
        if gateway.format.has_cursors:
            gateway.socket.write(frames.gap(start, end))
            self._metrics.gaps.inc()
        else:
            self._metrics.untold_gaps.inc()

    def _go_live(self, gateway: Gateway) -> None:
        gateway.is_resuming = False
        self.discard(gateway)
        self._subscribers.admit(gateway)

    def _refuse_newcomers(self) -> None:
        """Who has no 2000 yet is better off at another node, or later, than waiting in silence."""
        for gateway in [gateway for gateway in self._lagging if gateway.offered is not None]:
            reason = "the log is out of reach: try again"
            gateway.socket.write(frames.not_connected(gateway.format, ErrorCode.UNAVAILABLE, reason))
            gateway.socket.close(CloseCode.TRY_AGAIN_LATER, "the log is out of reach")
            self._metrics.refused.inc()
