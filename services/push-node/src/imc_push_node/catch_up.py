"""Gateways of an app that are behind: those that resume with a cursor, and those that were too slow.

One task an app reads the log for all of them, from the lowest place among those that have room. A page of it
serves every gateway whose place lies within, so that a thousand gateways that come back at once cost as many
reads as one. A gateway that has come up to the tip goes live in the same step, without an await in between.
"""

import asyncio
import random
from collections.abc import Callable

from imc_contracts.codes import CloseCode
from imc_contracts.cursor import ORIGIN, Cursor, EntryId
from imc_service.logs import logger

from imc_push_node import frames
from imc_push_node.audience import Audience
from imc_push_node.feed import Feed
from imc_push_node.gateway import Gateway
from imc_push_node.log_reader import REDIS_FAULTS, LogReader
from imc_push_node.log_state import Stretch
from imc_push_node.metrics import NodeMetrics
from imc_push_node.pages import FramedEntries

log = logger("catch-up")

RETRY_SECONDS = 0.5
SETTLE_SECONDS = 5.0


class CatchUp:
    """The lagging gateways of one app."""

    def __init__(
        self, app_id: str, reader: LogReader, audience: Audience, feed: Feed, metrics: NodeMetrics
    ) -> None:
        self._app_id = app_id
        self._reader = reader
        self._audience = audience
        self._feed = feed
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
            ready = self._without_those_the_tail_serves()
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
                log.error("catching up failed", exc_info=fault)
                for gateway in list(self._lagging):
                    gateway.socket.close(CloseCode.TRY_AGAIN_LATER, "catching up failed")
                    self.discard(gateway)
        self._task = None

    def _without_those_the_tail_serves(self) -> list[Gateway]:
        """Serve from memory whom it can; the others that have room."""
        self._audience.flush()
        for gateway in [gateway for gateway in self._lagging if not gateway.socket.is_full]:
            if gateway.is_resuming:
                continue
            for told in self._audience.tail.after(gateway.position):
                if gateway.socket.is_full:
                    break
                gateway.socket.write(told.frames if gateway.wants_notices else told.messages)
                self._metrics.deliveries.inc(told.count if gateway.wants_notices else told.messages_count)
                gateway.position = told.end
            if gateway.position == self._audience.tip:
                self._go_live(gateway)
        return [gateway for gateway in self._lagging if not gateway.socket.is_full]

    async def _serve(self, ready: list[Gateway]) -> None:
        """Read one page of the log, and give each of ``ready`` its part of it."""
        tip_before = self._audience.tip
        positions = [gateway.position for gateway in ready]
        places = [each for each in positions if each.is_unborn or each.lineage == tip_before.lineage]
        start = min(places, key=_place, default=tip_before)
        stretch = await self._reader.after(self._app_id, start)
        self._audience.flush()
        if self._is_feed_behind(stretch, tip_before, ready):
            self._feed.resync()
            async with asyncio.timeout(SETTLE_SECONDS):
                await self._feed.settled()
            return
        page = _Page(stretch, self._audience.tip)
        for gateway in ready:
            if gateway in self._lagging:
                self._give(gateway, page)

    def _is_feed_behind(self, stretch: Stretch, tip_before: Cursor, ready: list[Gateway]) -> bool:
        """Whether the log shows what the feed has not noticed yet: then the feed comes first."""
        state, tip = stretch.state, self._audience.tip
        if state.stays_unborn_since(tip):
            return False
        if state.lineage != tip.lineage or state.last < tip_before.entry:
            return True
        if stretch.lacks(tip.entry):
            return True
        return any(
            gateway.position.lineage == tip.lineage and tip.entry < gateway.position.entry <= state.last
            for gateway in ready
        )

    def _give(self, gateway: Gateway, page: "_Page") -> None:
        point = gateway.position
        if not page.covers(point):
            return
        if not page.stretch.proves(point):
            self.discard(gateway)
            self.on_unproven(gateway)
            return
        gateway.greet(point, recovered=True)
        count, part = page.after(point, gateway.wants_notices)
        gateway.socket.write(part)
        self._metrics.deliveries.inc(count)
        gateway.position = page.end
        if gateway.position == self._audience.tip:
            self._go_live(gateway)

    def give_up(self, gateway: Gateway) -> None:
        """Tell a gateway that what follows its position is not known, and let it go on from the tip."""
        self._audience.flush()
        point, tip = gateway.offered or gateway.position, self._audience.tip
        gateway.greet(tip, recovered=False)
        gateway.socket.write(frames.gap(point, tip))
        self._metrics.gaps.inc()
        self._go_live(gateway)

    def _go_live(self, gateway: Gateway) -> None:
        gateway.is_resuming = False
        self.discard(gateway)
        self._audience.admit(gateway)

    def _refuse_newcomers(self) -> None:
        """Who has no 2000 yet is better off at another node, or later, than waiting in silence."""
        for gateway in [gateway for gateway in self._lagging if gateway.offered is not None]:
            gateway.socket.write(frames.not_connected("the log is out of reach: try again"))
            gateway.socket.close(CloseCode.TRY_AGAIN_LATER, "the log is out of reach")
            self._metrics.refused.inc()


class _Page:
    """One read of the log, as frames, up to the tip: what is beyond it comes to live gateways by the feed."""

    def __init__(self, stretch: Stretch, tip: Cursor) -> None:
        self.stretch = stretch
        self.end = min(stretch.end, tip, key=lambda cursor: cursor.entry)
        entries = [entry for entry in stretch.entries if entry.id <= tip.entry]
        self._framed = FramedEntries(stretch.state.lineage, entries)

    def covers(self, point: Cursor) -> bool:
        """Whether this page decides what becomes of a gateway at ``point``."""
        if not self.stretch.state.names(point):
            return True
        return self.stretch.is_last or _place(point) < self.end.entry

    def after(self, point: Cursor, with_notices: bool) -> tuple[int, bytes]:
        """How many pushes follow ``point``, and their frames."""
        return self._framed.after(_place(point), with_notices)


def _place(point: Cursor) -> EntryId:
    return ORIGIN if point.is_unborn else point.entry
