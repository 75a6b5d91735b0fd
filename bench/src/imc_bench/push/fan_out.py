"""Row 1: deliveries per CPU-second of a saturated push-node."""

import contextlib
from collections.abc import Mapping
from functools import partial

import uvloop

from imc_bench import rounds
from imc_bench.installation import installation
from imc_bench.push import load
from imc_bench.push.imc_relay import imc
from imc_bench.push.peer_relays import (
    bare_relay,
    centrifugo_relay,
    installed,
    nchan_relay,
    plain_relay,
    socketio_relay,
    ws_relay,
)
from imc_bench.rows import Result, Scale

GATEWAYS = 100
PUSH_BYTES = 350
TIMES_CENTRIFUGO = 40
SHARE_OF_BARE = 0.6
FIGURE = "deliveries per CPU-second"
DELIVERED = "every message once, in order, the same bytes at every gateway, in each round"


def measure(scale: Scale) -> list[Result]:
    """Measure IMC, the bare loop and all peers in turn."""
    return uvloop.run(_measure(scale))


async def _measure(scale: Scale) -> list[Result]:
    async with contextlib.AsyncExitStack() as stack:
        own = await stack.enter_async_context(installation())
        peers, missing = await installed(
            stack,
            {
                "Centrifugo": centrifugo_relay(),
                "nchan": nchan_relay(),
                "node ws": ws_relay(),
                "Socket.IO": socketio_relay(own.redis_url),
                "plain": plain_relay(own.redis_url),
            },
        )
        imc_room = await stack.enter_async_context(load.room(await imc(own), GATEWAYS, PUSH_BYTES))
        bare = await stack.enter_async_context(bare_relay())
        bare_room = await stack.enter_async_context(load.room(bare, GATEWAYS, PUSH_BYTES, senders=1))
        pushes_per_write = load.BATCH

        async def measure_imc() -> Mapping[str, float]:
            nonlocal pushes_per_write
            figures = await load.saturate(imc_room, scale.seconds)
            pushes_per_write = round(figures["pushes a write"])
            return figures

        contenders: dict[str, rounds.Measure] = {
            "IMC": measure_imc,
            # The same bytes to the same number of sockets, in writes of the same size as IMC's.
            "bare loop": lambda: load.saturate(bare_room, scale.seconds, pushes_per_write),
        }
        for peer in peers:
            room = await stack.enter_async_context(load.room(peer, GATEWAYS, PUSH_BYTES))
            contenders[peer.name] = partial(load.saturate, room, scale.seconds)
        found = await rounds.alternate(contenders, scale.rounds)
    return _results(found, missing)


def _results(found: Mapping[str, Mapping[str, list[float]]], missing: list[str]) -> list[Result]:
    figures = {name: rounds.spread(each[FIGURE], "deliveries/CPU-s") for name, each in found.items()}
    times = {name: figures["IMC"].median / figure.median for name, figure in figures.items()}
    beside = {
        "IMC's pushes a write": rounds.spread(found["IMC"]["pushes a write"], ""),
        "IMC's share of its core": rounds.spread(found["IMC"]["share of the core"], ""),
    }
    name = f"fan-out to {GATEWAYS} gateways, pushes of {PUSH_BYTES} bytes"
    checks = [*(f"{times[peer]:.1f} × {peer}" for peer in times if peer != "IMC"), DELIVERED]
    goals = [("Centrifugo", TIMES_CENTRIFUGO), ("bare loop", SHARE_OF_BARE)]
    return [
        Result("1", name, figures | beside, *judged(times, *goal), checks, missing, shown=5) for goal in goals
    ]


def judged(times: Mapping[str, float], peer: str, goal: float) -> tuple[str, float | None, bool | None]:
    """The goal to be ``goal`` times a peer, the ratio, and whether it is met; None if the peer is missing."""
    ratio = times.get(peer)
    return f"≥ {goal:g} × {peer}", ratio, None if ratio is None else ratio >= goal
