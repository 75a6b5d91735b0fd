"""All listeners of one app, opened, waited for and checked together."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

from imc_testkit.waiting import wait_until

from imc_bench.push import order
from imc_bench.push.listener import CONNECT_SECONDS, Greeting, Listener
from imc_bench.push.stream import Stream
from imc_bench.rows import Faulty

CONNECTS_AT_ONCE = 100
DELIVERY_SECONDS = 60.0


class Audience:
    """The listeners of one app at one relay."""

    def __init__(self, app_id: str) -> None:
        self.stream = Stream(app_id)
        self.listeners: list[Listener] = []

    async def connect(
        self,
        port: int,
        paths: list[str],
        greeting: Callable[[], Greeting | None] = lambda: None,
        at_once: int = CONNECTS_AT_ONCE,
    ) -> None:
        """Open a connection to each of ``paths``, ``at_once`` at a time; returns once all are greeted.

        Raises `ConnectionError` if one is refused, `TimeoutError` if one gets no answer.
        """
        for first in range(0, len(paths), at_once):
            some = paths[first : first + at_once]
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.gather(*(self._connect(port, path, greeting()) for path in some))

    async def _connect(self, port: int, path: str, greeting: Greeting | None) -> None:
        name = f"listener {len(self.listeners)} of {self.stream.app_id}"
        listener = Listener(self.stream, name, path, greeting)
        self.listeners.append(listener)
        await asyncio.get_running_loop().create_connection(lambda: listener, "127.0.0.1", port)
        await listener.connected

    @property
    def lag_bytes(self) -> int:
        """How far the slowest is behind the fastest."""
        slowest = min(listener.reading.position for listener in self.listeners)
        return len(self.stream.frames) - slowest

    def has(self, count: int) -> bool:
        """Whether all have ``count`` frames."""
        return self.stream.count >= count and all(each.reading.is_at_end for each in self.listeners)

    async def delivered(self, count: int) -> None:
        """Wait until all have ``count`` frames; raises `Faulty` if they do not come."""
        try:
            await wait_until(lambda: self.stream.faults or self.has(count), DELIVERY_SECONDS, 0.001)
        except AssertionError:
            at_end = sum(each.reading.is_at_end for each in self.listeners)
            told = f"{self.stream.count} of {count} messages arrived"
            raise Faulty(f"{told}, at {at_end} of {len(self.listeners)} listeners all of them") from None

    def last_arrivals(self) -> dict[tuple[int, int], float]:
        """When each message of the stream, by sender and number, had reached the last of the listeners.

        They must note their arrivals.
        """
        messages = order.places(self.stream)
        last = [0.0] * len(messages)
        for listener in self.listeners:
            arrivals = iter(listener.arrivals or ())
            at, position = 0.0, 0
            for index, (_, end) in enumerate(messages):
                while position < end:
                    at, position = next(arrivals)
                last[index] = max(last[index], at)
        return {message: at for (message, _), at in zip(messages, last, strict=True)}

    def check(self, sent: dict[int, range]) -> int:
        """See that all was received as it was sent, and forget it; how many deliveries those were.

        Raises `Faulty` with the first faults.
        """
        found = order.faults(self.stream, sent)
        if found:
            raise Faulty(f"{len(found)} faults, the first: {'; '.join(found[:3])}")
        deliveries = self.stream.count * len(self.listeners)
        self.stream.clear()
        for listener in self.listeners:
            listener.reading.position = 0
        return deliveries

    def close(self) -> None:
        """Hang up."""
        for listener in self.listeners:
            listener.close()


@contextlib.asynccontextmanager
async def audience(
    app_id: str,
    port: int,
    paths: list[str],
    greeting: Callable[[], Greeting | None] = lambda: None,
) -> AsyncGenerator[Audience]:
    """Listeners of an app, connected; hung up at the end."""
    made = Audience(app_id)
    try:
        await made.connect(port, paths, greeting)
        yield made
    finally:
        made.close()
