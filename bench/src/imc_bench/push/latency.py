"""Row 8: the time from when a send is due until the last of fifty gateways has the push."""

import asyncio
import contextlib
import time
from functools import partial

import uvloop
from imc_testkit.waiting import wait_until

from imc_bench import rounds
from imc_bench.installation import installation
from imc_bench.push import load
from imc_bench.push.audience import DELIVERY_SECONDS
from imc_bench.push.fan_out import DELIVERED, PUSH_BYTES
from imc_bench.push.imc_relay import imc
from imc_bench.push.peer_relays import installed, nchan_relay
from imc_bench.rows import Result, Scale, Spread

GATEWAYS = 50
SENDERS = 32
JUDGED = 0.5
SHARES = (JUDGED, 0.1, 0.9)
TIMES_NCHAN = 2


def measure(scale: Scale) -> list[Result]:
    """Find the maximum rate of IMC, then measure IMC and nchan at shares of it."""
    return [uvloop.run(_measure(scale))]


async def _measure(scale: Scale) -> Result:
    async with contextlib.AsyncExitStack() as stack:
        own = await stack.enter_async_context(installation(all_on_server_core=True))
        peers, missing = await installed(stack, {"nchan": nchan_relay(by_http=True)})
        rooms = {
            relay.name: await stack.enter_async_context(load.room(relay, GATEWAYS, PUSH_BYTES, SENDERS))
            for relay in (await imc(own), *peers)
        }
        max_rate = max([(await _closed_loop(rooms["IMC"], scale.seconds)) for _ in range(3)])
        contenders: dict[str, rounds.Measure] = {
            f"{name} at {share:.0%}": partial(at_rate, room, max_rate * share, scale.seconds)
            for share in SHARES
            for name, room in rooms.items()
        }
        found = await rounds.alternate(contenders, scale.rounds)
    figures = {
        f"{name}, {figure}": rounds.spread(values, "ms")
        for name, each in found.items()
        for figure, values in each.items()
    }
    figures["saturation"] = Spread(max_rate, max_rate, max_rate, "sends/s")
    own_p99 = figures[f"IMC at {JUDGED:.0%}, p99"].median
    ratio = None if missing else own_p99 / figures[f"nchan at {JUDGED:.0%}, p99"].median
    return Result(
        row="8",
        name=f"from an HTTP send to the last of {GATEWAYS} gateways",
        figures=figures,
        goal=f"p99 at {JUDGED:.0%} of saturation at most {TIMES_NCHAN} × nchan's at the same rate",
        ratio=ratio,
        met=None if ratio is None else ratio <= TIMES_NCHAN,
        checks=[DELIVERED, "times count from when a send was due, not from when there was room for it"],
        missing=missing,
    )


async def _closed_loop(room: load.Room, seconds: float) -> float:
    """Sends per second if each sender sends again as soon as it has the reply."""
    count, ends = 0, time.perf_counter() + seconds

    async def send(number: int) -> None:
        nonlocal count
        while time.perf_counter() < ends:
            count += 1
            await room.senders[number].send(1)

    began = time.perf_counter()
    await asyncio.gather(*map(send, range(SENDERS)))
    await room.delivered(count)
    return count / (time.perf_counter() - began)


async def at_rate(room: load.Room, rate: float, seconds: float) -> dict[str, float]:
    """Milliseconds from when a send is due until the last gateway has it, at ``rate`` sends a second."""
    total = max(int(rate * seconds), 20)
    for listener in room.audience.listeners:
        listener.arrivals = []
    due: dict[tuple[int, int], float] = {}
    begins = time.perf_counter() + 0.05
    numbers = iter(range(total))

    async def send(sender: int) -> None:
        for number in numbers:  # the next free sender takes the next number
            at = begins + number / rate
            if (early := at - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            due[sender, room.senders[sender].next_number] = at
            await room.senders[sender].send(1)

    await asyncio.gather(*map(send, range(SENDERS)))
    await wait_until(lambda: room.audience.has(total), DELIVERY_SECONDS)
    last = room.audience.last_arrivals()
    await room.delivered(total)
    waits = [1000 * (last[message] - at) for message, at in due.items()]
    for listener in room.audience.listeners:
        listener.arrivals = None
    return {"p99": rounds.percentile(waits, 0.99), "p50": rounds.percentile(waits, 0.5)}
