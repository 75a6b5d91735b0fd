"""Replays the database to gateways whose position is older than the log, until the log takes over.

The database holds each event that the log has forgotten, with the id of its entry. So a gateway that was away
for longer than the log remembers gets the pushes that it missed, each with its cursor; of a message that was
recalled since, no more than that it existed. It may disconnect and resume at any of them. Just before the
first entry that the log still has, `LogReplay` takes over. If that entry is forgotten meanwhile, the gateway
comes back here.

The log may be another one than before: Redis was emptied, or replaced by a server that knew less. The
database knows what came before the new log, except for entries that it had not got yet. A 4002 announces
those, at the position where the new log begins.

Rows are removed when they are old, or erased. A gateway whose position is before such a row gets a 4002 up to
the newest event that is gone, and the archive from there on.

One task of an app reads for all of them, as in `LogReplay`: from the lowest position, and a page serves every
gateway whose position lies within.
"""

import asyncio

from imc_contracts.codes import CloseCode
from imc_contracts.cursor import Cursor
from imc_service.logs import get_logger
from imc_service.retry import Backoff

from imc_push_node.gateway.gateway import Gateway, State
from imc_push_node.metrics import NodeMetrics
from imc_push_node.stream.archive import Archive, ArchivePage
from imc_push_node.stream.delivery import Delivery
from imc_push_node.stream.log_reader import REDIS_FAULTS, LogReader
from imc_push_node.stream.log_state import Remainder
from imc_push_node.stream.query_api import NotAnswered

logger = get_logger("archive-replay")

BACKOFF = Backoff(0.5)

GATEWAYS_A_STEP = 32
"""After so many gateways other work has its turn."""


class ArchiveReplay:
    """Serves the gateways of one app that read the archive. `run` must be running."""

    def __init__(
        self, app_id: str, reader: LogReader, archive: Archive, delivery: Delivery, metrics: NodeMetrics
    ) -> None:
        self._app_id = app_id
        self._reader = reader
        self._archive = archive
        self._delivery = delivery
        self._metrics = metrics

    async def run(self) -> None:
        """Serve gateways until cancelled."""
        while True:
            self._delivery.archive_reading.clear()
            try:
                if any(not gateway.socket.is_full for gateway in self._gateways()):
                    async with self._archive.turn():
                        await self._serve()
                else:
                    await self._delivery.archive_reading.wait()
            except NotAnswered as error:
                logger.debug("query-api does not answer", fault=str(error))
                self._metrics.archive_failures.inc()
                if self._archive.is_away:
                    for gateway in self._gateways():
                        self._delivery.give_up(gateway)
                await BACKOFF.pause()
            except REDIS_FAULTS:
                # `LogReplay` knows what to do while the log is out of reach.
                for gateway in self._gateways():
                    self._delivery.reach_log(gateway, gateway.position)
                await BACKOFF.pause()
            except Exception as fault:
                logger.error("replaying the archive failed", exc_info=fault)
                for gateway in self._gateways():
                    gateway.socket.close(CloseCode.TRY_AGAIN_LATER, "replaying the archive failed")
                await BACKOFF.pause()

    def _gateways(self) -> list[Gateway]:
        return self._delivery.gateways_in(State.READING_ARCHIVE)

    async def _serve(self) -> None:
        """Read one page, and push its part of the page to each gateway that has room."""
        remainder = await self._reader.remainder(self._app_id)
        self._give_up_beyond(remainder)
        ready = [gateway for gateway in self._gateways() if not gateway.socket.is_full]
        if not ready:
            return
        start = min((gateway.position for gateway in ready), key=lambda position: position.entry)
        peers = [gateway for gateway in ready if gateway.position.epoch == start.epoch]
        with_notices = any(gateway.format.has_notices for gateway in peers)
        page = await self._archive.after(self._app_id, start, remainder, with_notices=with_notices)
        self._metrics.archive_pages.inc()
        is_whole = start.entry >= page.removed_to
        for count, gateway in enumerate(peers, 1):
            # It may have left while other work had its turn.
            if gateway.state is State.READING_ARCHIVE:
                if is_whole:
                    self._push_page(gateway, page, remainder)
                elif gateway.position.entry < page.removed_to:
                    self._delivery.skip(gateway, Cursor(gateway.position.epoch, page.removed_to))
            if count % GATEWAYS_A_STEP == 0:
                await asyncio.sleep(0)

    def _give_up_beyond(self, remainder: Remainder) -> None:
        """Give up gateways whose position the log should know and does not: a lost server took it along.

        It is not known from where on that server had other entries than the log has.
        """
        state = remainder.state
        for gateway in self._gateways():
            if state.is_born_after(gateway.position):
                self._delivery.rename_position(gateway, state.epoch)
            if gateway.position.epoch == state.epoch and gateway.position.entry >= remainder.first:
                self._delivery.give_up(gateway, Cursor(state.epoch, remainder.first.preceding))

    def _push_page(self, gateway: Gateway, page: ArchivePage, remainder: Remainder) -> None:
        position, epoch = gateway.position, remainder.state.epoch
        if not page.is_last and position.entry >= page.end:
            return
        is_same_log = position.epoch == epoch
        if not gateway.has_listed:
            self._delivery.await_list(gateway, recovered=is_same_log)
            return
        pushes = page.framed.after(position.entry, gateway.format, gateway.groups)
        # Its cursors keep the old epoch up to the gap. So the gap is announced if it disconnects before that.
        end = Cursor(position.epoch, page.end)
        self._delivery.push(gateway, pushes, end, recovered=is_same_log)
        if page.is_last:
            self._delivery.reach_log(gateway, Cursor(epoch, page.end), has_gap=not is_same_log)
