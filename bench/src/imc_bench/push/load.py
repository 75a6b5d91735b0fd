"""Loads on a relay: as much as it takes, or one message after the other; checked to the last byte."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass

from imc_bench.cpu import cpu_seconds, writes
from imc_bench.push.audience import Audience, audience
from imc_bench.push.relay import Relay, Sender, open_sender
from imc_bench.rows import Faulty

BATCH = 100
WINDOW = 1000
"""Messages under way at most: enough that a relay never waits for the load."""

DELIVERIES = 300_000
"""The same in deliveries, which is less where a thousand listen: a slow relay would need seconds for them."""

LAG_BYTES = 500_000
"""How far the slowest listener may be behind before no more is sent: less than what relays buffer for one."""

SENDERS = 3


@dataclass(frozen=True)
class Room:
    """An app at a relay: who listens, who sends."""

    relay: Relay
    audience: Audience
    senders: Sequence[Sender]

    async def delivered(self, count: int) -> int:
        """Wait until all have what was sent, ``count`` messages, and check it; how many deliveries it was.

        Raises `Faulty` if anything was lost, repeated or reordered.
        """
        try:
            await self.audience.delivered(count)
            return self.audience.check(dict(sender.taken() for sender in self.senders))
        except Faulty as fault:
            raise Faulty(f"{self.relay.name}: {fault}") from None


@contextlib.asynccontextmanager
async def room(
    relay: Relay, listeners: int, push_bytes: int = 350, senders: int = SENDERS, app_id: str = ""
) -> AsyncGenerator[Room]:
    """An app with listeners and senders, all connected."""
    app_id = app_id or f"app-{secrets.token_hex(4)}"
    paths = [relay.listen_path(app_id, number) for number in range(listeners)]
    async with audience(app_id, relay.port, paths, relay.greeting) as heard:
        opened = [await open_sender(relay, app_id, number, push_bytes) for number in range(senders)]
        try:
            yield Room(relay, heard, opened)
        finally:
            for sender in opened:
                sender.close()


async def saturate(room: Room, seconds: float, batch: int = BATCH) -> Mapping[str, float]:
    """Send as much as is taken for ``seconds`` at most, in batches; deliveries a second of CPU and of time.

    "pushes a write" tells how many pushes the relay joined, of what joins any by ``write``.

    Raises `Faulty` if anything was lost, repeated or reordered.
    """
    heard, count = room.audience, 0
    window = min(WINDOW, DELIVERIES // len(heard.listeners))
    began, cpu, written = time.perf_counter(), _cpu(room.relay), writes(room.relay.pids[0])

    async def send(sender: Sender) -> None:
        nonlocal count
        while time.perf_counter() < began + seconds and count + batch <= room.relay.most_messages:
            if count - heard.stream.count >= window or heard.lag_bytes > LAG_BYTES:
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
    """Send a message, wait until all have it, send the next; what was delivered a CPU-second.

    Raises `Faulty` if anything was lost, repeated or reordered.
    """
    heard, sender, count = room.audience, room.senders[0], 0
    began, cpu = time.perf_counter(), _cpu(room.relay)
    while time.perf_counter() < began + seconds:
        count += 1
        await sender.send(1)
        while not heard.has(count):
            await asyncio.sleep(0)
            if heard.stream.faults or time.perf_counter() > began + seconds + 10:
                await room.delivered(count)
    spent, took = _cpu(room.relay) - cpu, time.perf_counter() - began
    deliveries = await room.delivered(count)
    return {"deliveries per CPU-second": deliveries / spent, "messages per second": count / took}


def _cpu(relay: Relay) -> float:
    return sum(map(cpu_seconds, relay.pids))
