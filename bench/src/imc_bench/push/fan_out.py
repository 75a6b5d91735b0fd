"""Row 1: deliveries per CPU-second of a push-node that gets as much as it takes."""

import contextlib
from functools import partial

import uvloop

from imc_bench import rounds
from imc_bench.installation import installation
from imc_bench.push import load
from imc_bench.push.imc_relay import imc
from imc_bench.push.peer_relays import (
    bare_relay,
    installed,
    nchan_relay,
    plain_relay,
    socketio_relay,
    ws_relay,
)
from imc_bench.rows import Result, Scale

GATEWAYS = 100
PUSH_BYTES = 350
TIMES_NCHAN = 10
SHARE_OF_BARE = 0.5
FIGURE = "deliveries per CPU-second"


def measure(scale: Scale) -> list[Result]:
    """Measure IMC, the bare loop and all peers in turn."""
    return [uvloop.run(_measure(scale))]


async def _measure(scale: Scale) -> Result:
    async with contextlib.AsyncExitStack() as stack:
        own = await stack.enter_async_context(installation())
        peers, missing = await installed(
            stack,
            {
                "bare loop": bare_relay(),
                "nchan": nchan_relay(),
                "node ws": ws_relay(),
                "Socket.IO": socketio_relay(own.redis_url),
                "plain": plain_relay(own.redis_url),
            },
        )
        contenders: dict[str, rounds.Measure] = {}
        for relay in (await imc(own), *peers):
            # The bare loop has one way in.
            senders = 1 if relay.name == "bare loop" else load.SENDERS
            room = await stack.enter_async_context(load.room(relay, GATEWAYS, PUSH_BYTES, senders))
            contenders[relay.name] = partial(load.saturate, room, scale.seconds)
        found = await rounds.alternate(contenders, scale.rounds)
    figures = {f"{name}": rounds.spread(each[FIGURE], "deliveries/CPU-s") for name, each in found.items()} | {
        "IMC's share of its core": rounds.spread(found["IMC"]["share of the core"], "")
    }
    ratios = {
        name: figures["IMC"].median / figures[name].median for name in ("nchan", "bare loop") if name in found
    }
    return Result(
        row="1",
        name=f"fan-out to {GATEWAYS} gateways, pushes of {PUSH_BYTES} bytes",
        figures=figures,
        goal=f"at least {TIMES_NCHAN} × nchan and {SHARE_OF_BARE:.0%} of a bare loop",
        ratio=ratios.get("nchan"),
        met=None
        if "nchan" not in ratios
        else ratios["nchan"] >= TIMES_NCHAN and ratios["bare loop"] >= SHARE_OF_BARE,
        checks=[f"{ratios['bare loop']:.0%} of the bare loop", DELIVERED],
        missing=missing,
    )


DELIVERED = "every message once, in order, the same bytes at every gateway, in each round"
