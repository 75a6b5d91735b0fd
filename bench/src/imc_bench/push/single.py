"""Row 2: deliveries per CPU-second with one message at a time, when there is nothing to combine."""

import contextlib
from functools import partial

import uvloop

from imc_bench import rounds
from imc_bench.installation import installation
from imc_bench.push import load
from imc_bench.push.fan_out import DELIVERED, FIGURE, GATEWAYS, PUSH_BYTES, judged
from imc_bench.push.imc_relay import imc
from imc_bench.push.peer_relays import centrifugo_relay, installed, nchan_relay, ws_relay
from imc_bench.rows import Result, Scale

TIMES_NCHAN = 0.9
TIMES_CENTRIFUGO = 2


def measure(scale: Scale) -> list[Result]:
    """Measure IMC, Centrifugo, nchan and node ws in turn."""
    return uvloop.run(_measure(scale))


async def _measure(scale: Scale) -> list[Result]:
    async with contextlib.AsyncExitStack() as stack:
        own = await stack.enter_async_context(installation())
        peers, missing = await installed(
            stack, {"Centrifugo": centrifugo_relay(), "nchan": nchan_relay(), "node ws": ws_relay()}
        )
        contenders: dict[str, rounds.Measure] = {}
        for relay in (await imc(own), *peers):
            room = await stack.enter_async_context(load.room(relay, GATEWAYS, PUSH_BYTES, senders=1))
            contenders[relay.name] = partial(load.one_by_one, room, scale.seconds)
        found = await rounds.alternate(contenders, scale.rounds)
    figures = {name: rounds.spread(each[FIGURE], "deliveries/CPU-s") for name, each in found.items()}
    times = {name: figures["IMC"].median / figure.median for name, figure in figures.items()}
    name = f"one message a wake-up, to {GATEWAYS} gateways"
    checks = [*(f"{times[peer]:.2f} × {peer}" for peer in times if peer != "IMC"), DELIVERED]
    goals = [("nchan", TIMES_NCHAN), ("Centrifugo", TIMES_CENTRIFUGO)]
    return [Result("2", name, figures, *judged(times, *goal), checks, missing) for goal in goals]
