"""Follows the log of an app: delivers published batches in order, and reads the log where one was missed.

Redis does not keep what it publishes for a subscriber that was away. So each batch names the entry before it,
and is delivered only if that entry is the head. Otherwise, and whenever a batch may have been missed, the log
is read. The log is the truth, Pub/Sub only makes it quick.
"""

import asyncio

from imc_contracts.cursor import Cursor, EntryId
from imc_contracts.events import LiveBatch, MalformedEvent, read_live_batch
from imc_service.logs import get_logger
from imc_service.retry import Backoff

from imc_push_node.metrics import NodeMetrics
from imc_push_node.stream.delivery import Delivery
from imc_push_node.stream.log_reader import REDIS_FAULTS, LogReader
from imc_push_node.stream.log_state import LogState, Stretch

logger = get_logger("follower")

MAX_PENDING = 1000
"""Batches kept while the log is read. If there are more, they are dropped, and the log is read once more."""

BACKOFF = Backoff(0.5)
"""Between readings that fail."""


class Follower:
    """Follows one app."""

    def __init__(self, app_id: str, reader: LogReader, delivery: Delivery, metrics: NodeMetrics) -> None:
        self._app_id = app_id
        self._reader = reader
        self._delivery = delivery
        self._outbox = delivery.outbox
        self._metrics = metrics
        self._pending: list[LiveBatch] = []
        self._must_read = False
        self._reading: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()

    async def settled(self) -> None:
        """Wait until the follower has reached the end of the log. No fault of Redis ends this: bound it."""
        await self._settled.wait()

    def resync(self) -> None:
        """Read the log, since a batch may have been missed. So it is when a subscription is confirmed."""
        self._must_read = True
        self._settled.clear()
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_until_settled())

    def close(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()

    def on_published(self, payload: bytes) -> None:
        """Take a published batch."""
        try:
            batch = read_live_batch(payload)
        except MalformedEvent:
            self._metrics.skipped.inc()
            return
        if self._reading is not None:
            self._pending.append(batch)
            if len(self._pending) > MAX_PENDING:
                # They were in the log before they were published: one more read finds them.
                self._pending.clear()
                self._must_read = True
        elif not self._outbox.has_begun:
            # An earlier subscription brought it: the node let the app go a moment ago. Ours is not confirmed
            # yet. Once it is, the log is read, and the batch is in it.
            return
        elif not self._fits(batch):
            self.resync()

    def check(self, state: LogState, head_before: Cursor) -> bool:
        """Compare the head with the state of the log. Returns whether certainly nothing is missed.

        ``head_before`` is the head of when the log was asked. All batches published before the answer must
        have arrived.
        """
        if self._reading is not None:
            return False
        if state.stays_unborn_since(head_before):
            return True
        is_another = state.epoch != head_before.epoch or state.last < head_before.entry
        # `prev` can't show a lost newest batch.
        if is_another or state.last > self._outbox.head.entry:
            self.resync()
            return False
        return True

    def _fits(self, batch: LiveBatch) -> bool:
        """Deliver the batch if it follows the head; drop it if it is older. False if entries are missing."""
        if not batch.entries:
            return True
        head, newest = self._outbox.head, batch.entries[-1].id
        # The first batch of a log says nothing of one that was born and lost before it. The log itself does.
        if batch.epoch == head.epoch and batch.prev == head.entry:
            self._delivery.tell(batch.epoch, batch.entries, Cursor(batch.epoch, newest), batch.traces)
            return True
        return batch.epoch == head.epoch and newest <= head.entry

    async def _read_until_settled(self) -> None:
        while self._must_read:
            self._must_read = False
            try:
                await self._read_to_the_end()
            except Exception as fault:
                if not isinstance(fault, REDIS_FAULTS):
                    # Whatever it is: if the app were not followed any more, it would be silent for good.
                    logger.error("reading the log failed", exc_info=fault)
                self._must_read = True
                await BACKOFF.pause()
        # No await since the last check: `on_published` delivers each batch that comes from here on.
        self._reading = None
        self._settled.set()

    async def _read_to_the_end(self) -> None:
        if not self._outbox.has_begun:
            state = await self._reader.state(self._app_id)
            self._outbox.begin(state.point)
            if self._took_pending():
                return
        while True:
            stretch = await self._reader.after(self._app_id, self._outbox.head)
            if stretch.proves(self._outbox.head):
                is_at_end = self._follow(stretch)
            else:
                is_at_end = await self._leave_fork(stretch.state)
            if is_at_end and self._took_pending():
                return

    def _follow(self, stretch: Stretch) -> bool:
        """Deliver what was read. Returns whether the end of the log is reached."""
        if stretch.entries:
            self._metrics.repairs.inc()
        self._delivery.tell(stretch.state.epoch, stretch.entries, stretch.end, stretch.traces)
        return stretch.is_last

    async def _leave_fork(self, state: LogState) -> bool:
        """Go on from the newest entry that was pushed and is in the log, or else from the log's end.

        Returns whether that is the end. What was pushed after it is lost.
        """
        self._metrics.forks.inc()
        self._delivery.flush()  # then the trail ends at the head
        trail = self._outbox.trail.ids
        if state.epoch != self._outbox.head.epoch or not trail:
            self._delivery.jump(state.point)
            return True
        origin = await self._reader.newest_of(self._app_id, trail)
        if origin is None:
            self._delivery.jump(state.point, since=Cursor(state.epoch, EntryId.parse(trail[0])))
            return True
        self._delivery.jump(Cursor(state.epoch, EntryId.parse(origin)))
        return False

    def _took_pending(self) -> bool:
        """Deliver the batches published meanwhile. If one does not follow, drop the rest."""
        pending, self._pending = self._pending, []
        return all(self._fits(batch) for batch in pending)
