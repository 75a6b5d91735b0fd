"""Following one app's log: what was published is told in order, what was missed is read from the log.

Redis forgets what it published to a subscriber that was not there. So each published batch says which entry
came before it, and is told only if that is the one told last. Otherwise, and whenever something may have been
missed, the log itself is read: it is the truth, and Pub/Sub no more than its quick messenger.
"""

import asyncio

from imc_contracts.cursor import Cursor
from imc_contracts.events import LiveBatch, MalformedEvent, read_live_batch
from imc_service.logs import get_logger
from imc_service.retry import Backoff

from imc_push_node.metrics import NodeMetrics
from imc_push_node.stream.log_reader import REDIS_FAULTS, LogReader
from imc_push_node.stream.log_state import LogState, Stretch
from imc_push_node.stream.subscribers import Subscribers

logger = get_logger("follower")

MAX_PENDING = 1000
"""Batches kept while the log is read; beyond that they are dropped, and the log is read once more."""

BACKOFF = Backoff(0.5)
"""Between readings that fail."""


class Follower:
    """One app, as seen from this node."""

    def __init__(
        self, app_id: str, reader: LogReader, subscribers: Subscribers, metrics: NodeMetrics
    ) -> None:
        self._app_id = app_id
        self._reader = reader
        self._subscribers = subscribers
        self._metrics = metrics
        self._pending: list[LiveBatch] = []
        self._must_read = False
        self._reading: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()

    async def settled(self) -> None:
        """Wait until the follower stands where the log does. Not ended by faults of Redis: bound the wait."""
        await self._settled.wait()

    def resync(self) -> None:
        """Something may have been missed: look into the log. Called too when a subscription is confirmed."""
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
                # All of it was in the log before it was published: one more reading finds it.
                self._pending.clear()
                self._must_read = True
        elif not self._fits(batch):
            self.resync()

    def check(self, state: LogState, head_before: Cursor) -> bool:
        """Compare the follower with the state of the log. Returns whether it certainly misses nothing.

        ``head_before`` is its head when the log was asked. Everything published up to the answer must have
        been heard.
        """
        if self._reading is not None:
            return False
        if state.stays_unborn_since(head_before):
            return True
        is_another = state.epoch != head_before.epoch or state.last < head_before.entry
        # `prev` can't show a lost newest batch.
        if is_another or state.last > self._subscribers.head.entry:
            self.resync()
            return False
        return True

    def _fits(self, batch: LiveBatch) -> bool:
        """Tell the batch if it follows the head, drop it if it is older; False if it leaves a hole."""
        if not batch.entries:
            return True
        head, newest = self._subscribers.head, batch.entries[-1].id
        # The first batch of all says nothing of a log that was born and lost before it: the log itself does.
        if batch.epoch == head.epoch and batch.prev == head.entry:
            self._subscribers.tell(batch.epoch, batch.entries, Cursor(batch.epoch, newest))
            return True
        return batch.epoch == head.epoch and newest <= head.entry

    async def _read_until_settled(self) -> None:
        while self._must_read:
            self._must_read = False
            try:
                await self._read_to_the_end()
            except Exception as fault:
                if not isinstance(fault, REDIS_FAULTS):
                    # Whatever it was, an app that is not followed any more would be silent for good.
                    logger.error("reading the log failed", exc_info=fault)
                self._must_read = True
                await BACKOFF.pause()
        # No await since the last look: a batch that comes from here on is taken by `on_published` itself.
        self._reading = None
        self._settled.set()

    async def _read_to_the_end(self) -> None:
        if not self._subscribers.has_begun:
            state = await self._reader.state(self._app_id)
            self._subscribers.begin(state.point)
            if self._took_pending():
                return
        while True:
            stretch = await self._reader.after(self._app_id, self._subscribers.head)
            if self._follow(stretch) and self._took_pending():
                return

    def _follow(self, stretch: Stretch) -> bool:
        """Tell what was read; whether the end of the log is reached."""
        if not stretch.proves(self._subscribers.head):
            self._metrics.forks.inc()
            self._subscribers.jump(stretch.state.point)
            return True
        if stretch.entries:
            self._metrics.repairs.inc()
        self._subscribers.tell(stretch.state.epoch, stretch.entries, stretch.end)
        return stretch.is_last

    def _took_pending(self) -> bool:
        """Whether the batches published meanwhile follow the head. If not, drop them: the log has them."""
        pending, self._pending = self._pending, []
        return all(self._fits(batch) for batch in pending)
