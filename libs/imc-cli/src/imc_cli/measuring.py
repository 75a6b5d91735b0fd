"""Measures an installation as its clients see it: sends at a pace, gateways that listen, and their times."""

import asyncio
import contextlib
import math
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from imc_gateway import AsyncClient, ImcError, MessageSent, calls, connect

from imc_cli.connection import Connection

GROUP = "imc-bench"
"""The group of all messages, and their user."""

LATE_SECONDS = 5.0
"""How long pushes of the last sends are waited for."""


@dataclass(frozen=True)
class Load:
    """What is measured."""

    app_id: str
    seconds: float
    rate: float | None
    """Sends a second of all senders together; None for as many as are answered."""
    senders: int
    gateways: int
    content_bytes: int


@dataclass
class Measured:
    """What came of it. Times are in seconds."""

    seconds: float = 0.0
    send_times: list[float] = field(default_factory=list[float])
    push_times: list[float] = field(default_factory=list[float])
    """From the beginning of a send until a gateway had its push."""
    refused: dict[str, int] = field(default_factory=dict[str, int])
    """How many sends were refused, by reason."""
    missing_pushes: int = 0


def percentile(times: Sequence[float], share: float) -> float | None:
    """The time that ``share`` of ``times`` do not exceed (nearest rank); None without any."""
    if not times:
        return None
    return sorted(times)[max(0, math.ceil(share * len(times)) - 1)]


async def measure(connection: Connection, load: Load, advance: Callable[[float], None]) -> Measured:
    """Carry it out; ``advance`` is told the seconds that passed. Raises what the connection raises."""
    run = _Run(connection, load)
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(AsyncClient(connection.url, token=connection.token))
        # A gateway would wait for an installation that is away, or for a token that is right.
        await client.call(calls.send_message(load.app_id, GROUP, GROUP, "the first, which is not counted"))
        for number in range(load.gateways):
            await stack.enter_async_context(run.listening(number))
        ticking = asyncio.create_task(_tick(advance))
        try:
            await run.send(client)
            await run.settle()
        finally:
            ticking.cancel()
    return run.measured


class _Run:
    def __init__(self, connection: Connection, load: Load) -> None:
        self._connection = connection
        self._load = load
        self._key = secrets.token_hex(4)
        """Told apart by it are the messages of this run from those of others."""
        self._begun: dict[str, float] = {}
        self._awaited = 0
        self._all_pushed = asyncio.Event()
        self.measured = Measured()

    @contextlib.asynccontextmanager
    async def listening(self, number: int) -> AsyncGenerator[None]:
        """A gateway that notes when pushes come."""
        gateway_id = f"imc-bench-{self._key}-{number}"
        url, token = self._connection.url, self._connection.token

        async def listen() -> None:
            async for event in gateway:
                if isinstance(event, MessageSent):
                    self._pushed(event.message.content)

        async with connect(url, self._load.app_id, gateway_id, token=token) as gateway:
            listening = asyncio.create_task(listen())
            try:
                yield
            finally:
                listening.cancel()
                await asyncio.wait({listening})

    async def send(self, client: AsyncClient) -> None:
        """Let all senders send for as long as the load says."""
        begun = time.perf_counter()
        senders = (self._sender(client, begun, number) for number in range(self._load.senders))
        await asyncio.gather(*senders)
        self.measured.seconds = time.perf_counter() - begun

    async def settle(self) -> None:
        """Wait until all pushes have come, but not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LATE_SECONDS):
                while self._missing() > 0:
                    self._all_pushed.clear()
                    await self._all_pushed.wait()
        self.measured.missing_pushes = self._missing()

    def _missing(self) -> int:
        return len(self.measured.send_times) * self._load.gateways - len(self.measured.push_times)

    def _pushed(self, content: str) -> None:
        begun = self._begun.get(content.partition(" ")[0])
        if begun is not None:
            self.measured.push_times.append(time.perf_counter() - begun)
            self._all_pushed.set()

    async def _sender(self, client: AsyncClient, begun: float, number: int) -> None:
        load = self._load
        period = load.senders / load.rate if load.rate else 0.0
        due = begun + period * number / load.senders
        count = 0
        while True:
            now = time.perf_counter()
            if max(now, due) - begun >= load.seconds:
                return
            if due > now:
                await asyncio.sleep(due - now)
            count += 1
            # With a pace, a late send counts from when it was due: its wait is part of its time.
            await self._send_one(client, f"{self._key}-{number}-{count}", due if period else None)
            due += period

    async def _send_one(self, client: AsyncClient, name: str, due: float | None) -> None:
        load = self._load
        content = f"{name} ".ljust(load.content_bytes, "x")
        begun = self._begun[name] = time.perf_counter() if due is None else due
        call = calls.send_message(load.app_id, GROUP, GROUP, content, client_message_id=f"imc-{name}")
        try:
            await client.call(call)
        except ImcError as error:
            del self._begun[name]
            reason = f"{error.code}: {error.message}"
            self.measured.refused[reason] = self.measured.refused.get(reason, 0) + 1
            await asyncio.sleep(error.retry_after or 0)
        else:
            self.measured.send_times.append(time.perf_counter() - begun)


async def _tick(advance: Callable[[float], None]) -> None:
    last = time.perf_counter()
    while True:
        await asyncio.sleep(0.2)
        now = time.perf_counter()
        advance(now - last)
        last = now
