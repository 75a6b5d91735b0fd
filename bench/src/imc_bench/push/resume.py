"""Row 11: a thousand gateways resume at once, each a thousand messages behind, during live traffic."""

import asyncio
import secrets
import time
from dataclasses import dataclass

import orjson
import uvloop
from imc_testkit.waiting import wait_until
from redis.asyncio import Redis

from imc_bench import rounds
from imc_bench.installation import Installation, installation
from imc_bench.push.audience import Audience
from imc_bench.push.imc_relay import imc, imc_path
from imc_bench.push.load import BATCH
from imc_bench.push.relay import Relay, Sender, open_sender
from imc_bench.rows import InvalidRun, Result, Scale

MISSED = 1_000
PUSH_BYTES = 350
ROUNDS = 5
LIVE_EVERY_SECONDS = 0.02
MAX_GROWTH = 1.5
"""How many times the log reads may grow when the gateways grow fourfold."""

_READS = ("cmdstat_xrange", "cmdstat_xread")
_FULL_RESUME = "every gateway got all missed messages, then live ones, once and in order"


@dataclass(frozen=True)
class Resumed:
    """The outcome of one resume."""

    seconds: float
    """The time until the last gateway had everything."""
    log_reads: int
    """How many commands of all push-nodes have read logs."""


def measure(scale: Scale) -> list[Result]:
    """Resume with all gateways of one app, with a quarter of them, and with ten apps."""
    return [uvloop.run(_measure(scale))]


async def _measure(scale: Scale) -> Result:
    gateways = scale.of(400, 1_000)
    cases = {"all": (gateways, 1), "a quarter": (gateways // 4, 1), "ten apps": (gateways, 10)}
    found: dict[str, list[Resumed]] = {name: [] for name in cases}
    # Without linger, a node drops an app with its last gateway, and keeps none of its messages in memory.
    async with installation({"IMC_LINGER_SECONDS": "0"}) as own:
        relay = await imc(own)
        for _ in range(ROUNDS):
            for name, (count, apps) in cases.items():
                found[name].append(await _resume(own, relay, count, apps))
    reads = {name: rounds.spread([each.log_reads for each in some], "reads") for name, some in found.items()}
    growth = reads["all"].median / max(reads["a quarter"].median, 1)
    return Result(
        row="11",
        name=f"{gateways:,} gateways resume with {MISSED:,} missed messages each",
        figures={
            "until the last has caught up": rounds.spread([each.seconds for each in found["all"]], "s"),
            "log reads": reads["all"],
            f"log reads, {gateways // 4:,} gateways": reads["a quarter"],
            "log reads, 10 apps": reads["ten apps"],
        },
        goal=f"all caught up in order; four times the gateways cost at most {MAX_GROWTH} times the reads",
        ratio=growth,
        met=growth <= MAX_GROWTH,
        checks=[_FULL_RESUME],
    )


@dataclass(frozen=True)
class _App:
    app_id: str
    cursor: str
    gateways: range
    sender: Sender


async def _resume(own: Installation, relay: Relay, gateways: int, apps: int) -> Resumed:
    made = [await _miss(relay, gateways // apps) for _ in range(apps)]
    audiences = [Audience(app.app_id) for app in made]
    reads = await _log_reads(own)
    began = time.perf_counter()
    is_over = asyncio.Event()
    sending = asyncio.create_task(_send_live(made, is_over))
    try:
        await asyncio.gather(
            *(_reconnect(relay, audience, app) for app, audience in zip(made, audiences, strict=True))
        )
        await wait_until(lambda: all(audience.has(MISSED) for audience in audiences), 60)
        seconds = time.perf_counter() - began
    finally:
        is_over.set()
        live = await sending
    reads = await _log_reads(own) - reads
    for app, audience in zip(made, audiences, strict=True):
        await audience.delivered(MISSED + live)
        audience.check(dict([app.sender.taken()]))
        audience.close()
        app.sender.close()
    return Resumed(seconds, reads)


async def _miss(relay: Relay, gateways: int) -> _App:
    """Make an app whose gateways share one cursor, and send the messages that they miss."""
    app_id = f"app-{secrets.token_hex(4)}"
    audience = Audience(app_id)
    sender = await open_sender(relay, app_id, 0, PUSH_BYTES)
    # The log begins with the first message; earlier cursors are of a log without entries.
    await sender.send(1)
    sender.taken()
    await audience.connect(relay.port, [imc_path(app_id, 0)], relay.greeting)
    cursor: str = orjson.loads(audience.listeners[0].greeted)["cursor"]
    audience.close()
    for _ in range(MISSED // BATCH):
        await sender.send(BATCH)
    return _App(app_id, cursor, range(gateways), sender)


async def _reconnect(relay: Relay, audience: Audience, app: _App) -> None:
    paths = [imc_path(app.app_id, number, app.cursor) for number in app.gateways]
    await audience.connect(relay.port, paths, relay.greeting, at_once=len(paths))
    greetings = [orjson.loads(listener.greeted) for listener in audience.listeners]
    if not all(greeting["recovered"] for greeting in greetings):
        raise InvalidRun(f"a gateway of {app.app_id} was not recovered")


async def _send_live(apps: list[_App], is_over: asyncio.Event) -> int:
    """Send messages to all apps until ``is_over`` is set; return how many each app got."""
    count = 0
    while not is_over.is_set():
        await asyncio.sleep(LIVE_EVERY_SECONDS * len(apps))
        for app in apps:
            await app.sender.send(1)
        count += 1
    return count


async def _log_reads(own: Installation) -> int:
    async with Redis.from_url(own.redis_url) as redis:  # pyright: ignore[reportUnknownMemberType]
        stats: dict[str, dict[str, int]] = await redis.info("commandstats")  # pyright: ignore
    return sum(stats[name]["calls"] for name in _READS if name in stats)
