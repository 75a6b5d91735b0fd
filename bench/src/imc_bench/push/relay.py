"""What rows of the push path need of IMC and of each peer alike."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from imc_bench.push import order
from imc_bench.push.listener import Greeting


class Outlet(Protocol):
    """One way in for the messages of an app. Their order is kept."""

    async def put(self, contents: list[str]) -> None:
        """Hand messages over; returns when the relay has taken them, or may be handed more."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


@dataclass(frozen=True)
class Relay:
    """Something that takes messages of an app and pushes each to all that listen to it."""

    name: str
    pids: tuple[int, ...]
    """The processes whose CPU time counts."""
    port: int
    listen_path: Callable[[str, int], str]
    """Of an app and the number of a listener the path to connect to."""
    open_outlet: Callable[[str], Awaitable[Outlet]]
    """Of an app a new way in."""
    greeting: Callable[[], Greeting | None] = lambda: None
    """What a listener waits for before it counts as connected."""
    overhead: int = 4
    """How many bytes a push has beyond its content."""
    most_messages: int = 1_000_000_000
    """How many of an app it takes in one second without losing any: no round has more."""


class Sender:
    """Sends numbered messages to an app, each pushed as ``push_bytes``."""

    def __init__(self, app_id: str, number: int, outlet: Outlet, content_bytes: int) -> None:
        self._app_id = app_id
        self._number = number
        self._outlet = outlet
        self._content_bytes = content_bytes
        self._first = self._next = 0

    @property
    def next_number(self) -> int:
        """The number of the message that is sent next."""
        return self._next

    async def send(self, count: int) -> None:
        """Send ``count`` messages at once."""
        contents = [
            order.mark(self._app_id, self._number, number).ljust(self._content_bytes, ".")
            for number in range(self._next, self._next + count)
        ]
        self._next += count
        await self._outlet.put(contents)

    def taken(self) -> tuple[int, range]:
        """Its number, and what it sent since it was last asked."""
        sent = range(self._first, self._next)
        self._first = self._next
        return self._number, sent

    def close(self) -> None:
        """Hang up."""
        self._outlet.close()


async def open_sender(relay: Relay, app_id: str, number: int, push_bytes: int) -> Sender:
    """A sender whose messages are pushed as ``push_bytes`` each, or as few more as its mark needs."""
    return Sender(app_id, number, await relay.open_outlet(app_id), push_bytes - relay.overhead)
