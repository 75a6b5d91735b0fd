"""Row 11: a thousand gateways come back at once, a thousand messages behind, while more are sent."""

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
from imc_bench.rows import Faulty, Result, Scale

MISSED = 1_000
PUSH_BYTES = 350
ROUNDS = 5
LIVE_EVERY_SECONDS = 0.02
GROWTH = 1.5
"""How many times the reads of four times the gateways may be those of one."""

_READS = ("cmdstat_xrange", "cmdstat_xread")
_FULL_RESUME = "every gateway all that it missed, then what was live, once and in order"


@dataclass(frozen=True)
class Resumed:
    """What came of one resume."""

    seconds: float
    """Until the last gateway had everything."""
    log_reads: int
    """Commands that read logs, of all push-nodes."""


def measure(scale: Scale) -> list[Result]:
    """Resume with all gateways of one app, with a quarter of them, and with ten apps."""
    return [uvloop.run(_measure(scale))]


async def _measure(scale: Scale) -> Result:
    gateways = scale.of(400, 1_000)
    cases = {"all": (gateways, 1), "a quarter": (gateways // 4, 1), "ten apps": (gateways, 10)}
    found: dict[str, list[Resumed]] = {name: [] for name in cases}
    # An app is let go with its last gateway: the node has nothing in memory of what its gateways missed.
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
        goal=f"all caught up in order; four times the gateways cost at most {GROWTH} times the reads",
        ratio=growth,
        met=growth <= GROWTH,
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
    heard = [Audience(app.app_id) for app in made]
    reads = await _log_reads(own)
    began = time.perf_counter()
    is_over = asyncio.Event()
    sending = asyncio.create_task(_send_live(made, is_over))
    try:
        await asyncio.gather(
            *(_come_back(relay, audience, app) for app, audience in zip(made, heard, strict=True))
        )
        await wait_until(lambda: all(audience.has(MISSED) for audience in heard), 60)
        seconds = time.perf_counter() - began
    finally:
        is_over.set()
        live = await sending
    reads = await _log_reads(own) - reads
    for app, audience in zip(made, heard, strict=True):
        await audience.delivered(MISSED + live)
        audience.check(dict([app.sender.taken()]))
        audience.close()
        app.sender.close()
    return Resumed(seconds, reads)


async def _miss(relay: Relay, gateways: int) -> _App:
    """An app whose gateways all stand at one cursor, with messages sent since."""
    app_id = f"app-{secrets.token_hex(4)}"
    audience = Audience(app_id)
    sender = await open_sender(relay, app_id, 0, PUSH_BYTES)
    # The log begins with a message: until then its cursors are those of a log that is not born yet.
    await sender.send(1)
    sender.taken()
    await audience.connect(relay.port, [imc_path(app_id, 0)], relay.greeting)
    cursor: str = orjson.loads(audience.listeners[0].greeted)["cursor"]
    audience.close()
    for _ in range(MISSED // BATCH):
        await sender.send(BATCH)
    return _App(app_id, cursor, range(gateways), sender)


async def _come_back(relay: Relay, audience: Audience, app: _App) -> None:
    paths = [imc_path(app.app_id, number, app.cursor) for number in app.gateways]
    await audience.connect(relay.port, paths, relay.greeting, at_once=len(paths))
    greetings = [orjson.loads(listener.greeted) for listener in audience.listeners]
    if not all(greeting["recovered"] for greeting in greetings):
        raise Faulty(f"a gateway of {app.app_id} was not recovered")


async def _send_live(apps: list[_App], is_over: asyncio.Event) -> int:
    """Send on at each app until it is over; how many messages each got."""
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
