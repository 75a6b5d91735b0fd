"""The listeners of one app: connects them, waits for deliveries, and checks what they received."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

from imc_testkit.waiting import wait_until

from imc_bench.push import order
from imc_bench.push.listener import CONNECT_SECONDS, Greeting, Listener
from imc_bench.push.stream import Stream
from imc_bench.rows import InvalidRun

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
        """Connect a listener to each of ``paths``, ``at_once`` at a time, and wait for their greetings.

        Raises `ConnectionError` if one is refused, `TimeoutError` if one gets no reply.
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
        """How many bytes the slowest listener is behind the fastest."""
        slowest = min(listener.reading.position for listener in self.listeners)
        return len(self.stream.frames) - slowest

    def has(self, count: int) -> bool:
        """Whether all listeners have received ``count`` frames."""
        return self.stream.count >= count and all(each.reading.is_at_end for each in self.listeners)

    async def delivered(self, count: int) -> None:
        """Wait until all listeners have received ``count`` frames. Raises `InvalidRun` on timeout."""
        try:
            await wait_until(lambda: self.stream.faults or self.has(count), DELIVERY_SECONDS, 0.001)
        except AssertionError:
            at_end = sum(each.reading.is_at_end for each in self.listeners)
            arrived = f"{self.stream.count} of {count} messages arrived"
            raise InvalidRun(
                f"{arrived}; {at_end} of {len(self.listeners)} listeners have them all"
            ) from None

    def last_arrivals(self) -> dict[tuple[int, int], float]:
        """When the last listener received each message, by sender and number of the message.

        The listeners must record their arrivals.
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
        """Check that all messages were received as sent, and clear them. Return the number of deliveries.

        Raises `InvalidRun` with the first faults.
        """
        found = order.faults(self.stream, sent)
        if found:
            raise InvalidRun(f"{len(found)} faults, the first: {'; '.join(found[:3])}")
        deliveries = self.stream.count * len(self.listeners)
        self.stream.clear()
        for listener in self.listeners:
            listener.reading.position = 0
        return deliveries

    def close(self) -> None:
        """Close all connections."""
        for listener in self.listeners:
            listener.close()


@contextlib.asynccontextmanager
async def audience(
    app_id: str,
    port: int,
    paths: list[str],
    greeting: Callable[[], Greeting | None] = lambda: None,
) -> AsyncGenerator[Audience]:
    """Connect the listeners of an app, and close them at the end."""
    made = Audience(app_id)
    try:
        await made.connect(port, paths, greeting)
        yield made
    finally:
        made.close()
