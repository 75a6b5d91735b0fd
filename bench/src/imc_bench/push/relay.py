"""The common interface of IMC and its peers for benchmarks of pushes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from imc_bench.push import order
from imc_bench.push.listener import Greeting


class Publisher(Protocol):
    """Sends messages of an app to a relay, in order."""

    async def publish(self, contents: list[str]) -> None:
        """Send messages. Returns when the relay has taken them, or can take more."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


@dataclass(frozen=True)
class Relay:
    """A server that takes messages of an app and pushes each to all its listeners."""

    name: str
    pids: tuple[int, ...]
    """The processes whose CPU time counts."""
    port: int
    listen_path: Callable[[str, int], str]
    """Returns the path to connect to, by app and number of the listener."""
    open_publisher: Callable[[str], Awaitable[Publisher]]
    """Opens a publisher for an app."""
    greeting: Callable[[], Greeting | None] = lambda: None
    """Returns what a listener waits for before it counts as connected."""
    overhead: int = 4
    """How many bytes a push has in addition to its content."""
    max_messages: int = 1_000_000_000
    """The maximum number of messages per round that the relay does not lose."""


class Sender:
    """Sends numbered messages of an app."""

    def __init__(self, app_id: str, number: int, publisher: Publisher, content_bytes: int) -> None:
        self._app_id = app_id
        self._number = number
        self._publisher = publisher
        self._content_bytes = content_bytes
        self._first = self._next = 0

    @property
    def next_number(self) -> int:
        """The number of the next message."""
        return self._next

    async def send(self, count: int) -> None:
        """Send ``count`` messages at once."""
        contents = [
            order.mark(self._app_id, self._number, number).ljust(self._content_bytes, ".")
            for number in range(self._next, self._next + count)
        ]
        self._next += count
        await self._publisher.publish(contents)

    def taken(self) -> tuple[int, range]:
        """The number of this sender, and the numbers of the messages sent since the last call."""
        sent = range(self._first, self._next)
        self._first = self._next
        return self._number, sent

    def close(self) -> None:
        """Close the connection."""
        self._publisher.close()


async def open_sender(relay: Relay, app_id: str, number: int, push_bytes: int) -> Sender:
    """Open a sender whose pushes have ``push_bytes`` bytes, or more if the mark needs them."""
    return Sender(app_id, number, await relay.open_publisher(app_id), push_bytes - relay.overhead)
