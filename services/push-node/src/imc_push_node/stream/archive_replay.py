"""Gateways whose position is older than the log: they go on from the database until the log takes over.

The database holds what the log has forgotten, each event at its place. So a gateway that was away for longer
than the log remembers gets the pushes that it missed, of messages recalled since no more than that they were
there, and each with its cursor: it may leave at any of them. Just before the first entry that the log still
has, it is handed to `LogReplay`. If that entry is forgotten meanwhile, it comes back here.

If the log is another one (Redis was emptied, or replaced by one that knew less), the database knows what came
before it, except for what it was late with: that is said by a 4002, where the new log begins.

One task an app, as in `LogReplay`: the lowest place first, and a page serves all whose place lies within.
"""

import asyncio
import random

from imc_contracts.codes import CloseCode
from imc_contracts.cursor import Cursor
from imc_service.logs import get_logger

from imc_push_node.gateway.gateway import Gateway
from imc_push_node.metrics import NodeMetrics
from imc_push_node.stream.archive import Archive, ArchivePage
from imc_push_node.stream.log_reader import REDIS_FAULTS, LogReader
from imc_push_node.stream.log_replay import LogReplay
from imc_push_node.stream.log_state import Remainder
from imc_push_node.stream.query_api import NotAnswered

logger = get_logger("archive-replay")

RETRY_SECONDS = 0.5

GATEWAYS_A_STEP = 32
"""So many get their part of a page before other work has its turn."""


class ArchiveReplay:
    """The gateways of one app that read from the database."""

    def __init__(
        self, app_id: str, reader: LogReader, archive: Archive, log_replay: LogReplay, metrics: NodeMetrics
    ) -> None:
        self._app_id = app_id
        self._reader = reader
        self._archive = archive
        self._log_replay = log_replay
        self._metrics = metrics
        self._resuming: dict[Gateway, Cursor] = {}
        """Each with the point that it came with."""
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._resuming)

    def add(self, gateway: Gateway) -> None:
        """Bring a gateway up from its position, which the log can't prove."""
        self._resuming[gateway] = gateway.offered or gateway.position
        self._metrics.resuming.inc()
        self.wake()
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def discard(self, gateway: Gateway) -> None:
        """Let a gateway go."""
        if self._resuming.pop(gateway, None) is not None:
            self._metrics.resuming.dec()
            self.wake()

    def wake(self) -> None:
        """A gateway has room again."""
        self._wake.set()

    def close(self) -> None:
        """Stop reading."""
        self._resuming.clear()
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while self._resuming:
            self._wake.clear()
            try:
                if any(not gateway.socket.is_full for gateway in self._resuming):
                    async with self._archive.place():
                        await self._serve()
                else:
                    await self._wake.wait()
            except NotAnswered as error:
                logger.debug("query-api does not answer", fault=str(error))
                self._metrics.archive_failures.inc()
                if self._archive.is_away:
                    for gateway in list(self._resuming):
                        self._give_up(gateway)
                await _pause()
            except REDIS_FAULTS:
                # `LogReplay` knows what to do while the log is away.
                for gateway in list(self._resuming):
                    self._hand_over(gateway, gateway.position)
                await _pause()
            except Exception as fault:
                logger.error("resuming failed", exc_info=fault)
                for gateway in list(self._resuming):
                    gateway.socket.close(CloseCode.TRY_AGAIN_LATER, "resuming failed")
                    self.discard(gateway)
        self._task = None

    async def _serve(self) -> None:
        """Read one page, and give each gateway that has room its part of it."""
        remainder = await self._reader.remainder(self._app_id)
        ready = [gateway for gateway in self._within_reach(remainder) if not gateway.socket.is_full]
        if not ready:
            return
        start = min((gateway.position for gateway in ready), key=lambda position: position.entry)
        peers = [gateway for gateway in ready if gateway.position.epoch == start.epoch]
        with_notices = any(gateway.format.has_notices for gateway in peers)
        page = await self._archive.after(self._app_id, start, remainder, with_notices=with_notices)
        self._metrics.archive_pages.inc()
        for index, gateway in enumerate(peers, 1):
            # It may have left while others had their turn.
            if gateway in self._resuming and (page.is_last or gateway.position.entry < page.end):
                self._give(gateway, page, remainder)
            if index % GATEWAYS_A_STEP == 0:
                await asyncio.sleep(0)

    def _within_reach(self, remainder: Remainder) -> list[Gateway]:
        """Those that the database can help; the others are told of a gap."""
        state = remainder.state
        for gateway in list(self._resuming):
            point = gateway.position
            if state.is_born_after(point):
                point = gateway.position = Cursor(state.epoch, point.entry)
            if point.epoch == state.epoch and point.entry >= remainder.first:
                # Where the log still remembers, yet does not know the point: a lost server took it along.
                self._give_up(gateway)
        return list(self._resuming)

    def _give(self, gateway: Gateway, page: ArchivePage, remainder: Remainder) -> None:
        point, epoch = gateway.position, remainder.state.epoch
        gateway.greet(gateway.offered or point, recovered=point.epoch == epoch)
        pushes = page.framed.after(point.entry, gateway.format)
        gateway.socket.write(pushes.frames)
        self._metrics.deliveries.inc(pushes.number)
        if not page.is_last:
            gateway.position = Cursor(point.epoch, page.end)
            return
        end = Cursor(epoch, page.end)
        if point.epoch != epoch:
            # Not earlier: until here its cursors are of the old epoch, so that one who leaves and comes
            # back is told as well.
            self._log_replay.announce_gap(gateway, self._resuming[gateway], end)
        self._hand_over(gateway, end)

    def _hand_over(self, gateway: Gateway, position: Cursor) -> None:
        self.discard(gateway)
        self._log_replay.add(gateway, position)

    def _give_up(self, gateway: Gateway) -> None:
        self.discard(gateway)
        self._log_replay.give_up(gateway)


async def _pause() -> None:
    await asyncio.sleep(RETRY_SECONDS * (0.5 + random.random()))  # noqa: S311
