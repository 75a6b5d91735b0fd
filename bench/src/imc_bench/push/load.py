"""Loads on a relay: saturating, or one message at a time. Every byte received is checked."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass

from imc_bench.cpu import cpu_seconds, writes
from imc_bench.push.audience import Audience, audience
from imc_bench.push.relay import Relay, Sender, open_sender
from imc_bench.rows import InvalidRun

BATCH = 100
WINDOW = 1000
"""The maximum number of messages not delivered yet: enough that a relay never waits for the load."""

DELIVERIES = 300_000
"""The same limit in deliveries, for rooms with many listeners."""

LAG_BYTES = 500_000
"""How far the slowest listener may be behind before sending pauses; less than relays buffer for one."""

SENDERS = 3


@dataclass(frozen=True)
class Room:
    """The listeners and senders of one app at a relay."""

    relay: Relay
    audience: Audience
    senders: Sequence[Sender]

    async def delivered(self, count: int) -> int:
        """Wait until all listeners have the ``count`` messages sent, and check them. Return the deliveries.

        Raises `InvalidRun` if anything was lost, repeated or reordered.
        """
        try:
            await self.audience.delivered(count)
            return self.audience.check(dict(sender.taken() for sender in self.senders))
        except InvalidRun as fault:
            raise InvalidRun(f"{self.relay.name}: {fault}") from None


@contextlib.asynccontextmanager
async def room(
    relay: Relay, listeners: int, push_bytes: int = 350, senders: int = SENDERS, app_id: str = ""
) -> AsyncGenerator[Room]:
    """Connect listeners and senders of an app."""
    app_id = app_id or f"app-{secrets.token_hex(4)}"
    paths = [relay.listen_path(app_id, number) for number in range(listeners)]
    async with audience(app_id, relay.port, paths, relay.greeting) as connected:
        opened = [await open_sender(relay, app_id, number, push_bytes) for number in range(senders)]
        try:
            yield Room(relay, connected, opened)
        finally:
            for sender in opened:
                sender.close()


async def saturate(room: Room, seconds: float, batch: int = BATCH) -> Mapping[str, float]:
    """Send as fast as the relay takes messages, for ``seconds``. Return rates per second and CPU-second.

    "pushes a write" is how many pushes the relay combines in one write system call on average.

    Raises `InvalidRun` if anything was lost, repeated or reordered.
    """
    receivers, count = room.audience, 0
    window = min(WINDOW, DELIVERIES // len(receivers.listeners))
    began, cpu, written = time.perf_counter(), _cpu(room.relay), writes(room.relay.pids[0])

    async def send(sender: Sender) -> None:
        nonlocal count
        while time.perf_counter() < began + seconds and count + batch <= room.relay.max_messages:
            if count - receivers.stream.count >= window or receivers.lag_bytes > LAG_BYTES:
                await asyncio.sleep(0.001)
                continue
            count += batch
            await sender.send(batch)

    await asyncio.gather(*map(send, room.senders))
    deliveries = await room.delivered(count)
    spent, took = _cpu(room.relay) - cpu, time.perf_counter() - began
    return {
        "deliveries per CPU-second": deliveries / spent,
        "messages per second": count / took,
        "share of the core": spent / took,
        "seconds of CPU": spent,
        "seconds": took,
        "pushes a write": deliveries / max(writes(room.relay.pids[0]) - written, 1),
    }


async def one_by_one(room: Room, seconds: float) -> Mapping[str, float]:
    """Send a message, wait until all listeners have it, send the next. Return deliveries per CPU-second.

    Raises `InvalidRun` if anything was lost, repeated or reordered.
    """
    receivers, sender, count = room.audience, room.senders[0], 0
    began, cpu = time.perf_counter(), _cpu(room.relay)
    while time.perf_counter() < began + seconds:
        count += 1
        await sender.send(1)
        while not receivers.has(count):
            await asyncio.sleep(0)
            if receivers.stream.faults or time.perf_counter() > began + seconds + 10:
                await room.delivered(count)
    spent, took = _cpu(room.relay) - cpu, time.perf_counter() - began
    deliveries = await room.delivered(count)
    return {"deliveries per CPU-second": deliveries / spent, "messages per second": count / took}


def _cpu(relay: Relay) -> float:
    return sum(map(cpu_seconds, relay.pids))
