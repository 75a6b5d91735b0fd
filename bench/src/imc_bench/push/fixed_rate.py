"""Row 2b: what a delivery costs all servers together, and how long it takes, at fixed rates of sends."""

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import uvloop

from imc_bench import rounds
from imc_bench.cpu import cpu_seconds
from imc_bench.installation import Installation, installation
from imc_bench.push import load
from imc_bench.push.fan_out import DELIVERED, GATEWAYS, PUSH_BYTES
from imc_bench.push.imc_relay import imc
from imc_bench.push.latency import SENDERS, at_rate
from imc_bench.push.peer_relays import centrifugo_relay, installed
from imc_bench.push.relay import Relay
from imc_bench.rows import Result, Scale

RATES = (100, 400)
"""Single sends per second."""

SHARE_OF_CENTRIFUGO = 0.7
PEER = "Centrifugo"


def measure(scale: Scale) -> list[Result]:
    """Measure IMC and Centrifugo in turn, with all their servers on one core."""
    return uvloop.run(_measure(scale))


async def _measure(scale: Scale) -> list[Result]:
    async with contextlib.AsyncExitStack() as stack:
        own = await stack.enter_async_context(installation(all_on_server_core=True))
        peers, missing = await installed(stack, {PEER: centrifugo_relay(with_redis=True)})
        contenders: dict[str, rounds.Measure] = {}
        for relay in (await _whole(own), *peers):
            room = await stack.enter_async_context(load.room(relay, GATEWAYS, PUSH_BYTES, SENDERS))
            for rate in RATES:
                seconds = scale.of(2, 5)
                contenders[f"{relay.name} at {rate}/s"] = partial(_deliveries, room, rate, seconds)
        found = await rounds.alternate(contenders, scale.rounds)
    return [result(found, rate, missing) for rate in RATES]


async def _whole(own: Installation) -> Relay:
    """IMC as a relay whose CPU time is that of all its servers."""
    relay = await imc(own)
    command_api = own.deployment.command_apis[0]
    return replace(relay, pids=(*relay.pids, command_api.pid, own.redis_pid))


async def _deliveries(room: load.Room, rate: float, seconds: float) -> Mapping[str, float]:
    """Microseconds of CPU per delivery, and milliseconds from a send to the last gateway."""
    before = sum(map(cpu_seconds, room.relay.pids))
    waits = await at_rate(room, rate, seconds)
    used = sum(map(cpu_seconds, room.relay.pids)) - before
    return {"CPU": used / (int(rate * seconds) * GATEWAYS) * 1e6, **waits}


def result(found: Mapping[str, Mapping[str, list[float]]], rate: int, missing: list[str]) -> Result:
    """The result at one rate. It is not judged if the peer is missing."""
    units = {"CPU": "µs/delivery", "p99": "ms", "p50": "ms"}
    figures = {
        f"{who}, {figure}": rounds.spread(each[figure], unit)
        for figure, unit in units.items()
        for who, each in found.items()
        if who.endswith(f" at {rate}/s")
    }
    cpu, p99 = (
        _ratio({who: each.median for who, each in figures.items()}, rate, of) for of in ("CPU", "p99")
    )
    return Result(
        row="2b",
        name=f"{rate} single sends a second to {GATEWAYS} gateways, all servers on one core",
        figures=figures,
        goal=f"CPU ≤ {SHARE_OF_CENTRIFUGO:g} × {PEER}, p99 at most its",
        ratio=cpu,
        met=None if cpu is None or p99 is None else cpu <= SHARE_OF_CENTRIFUGO and p99 <= 1,
        checks=[*([f"p99 {p99:.2f} × {PEER}"] if p99 is not None else []), DELIVERED],
        missing=missing,
    )


def _ratio(medians: Mapping[str, float], rate: int, figure: str) -> float | None:
    peer = medians.get(f"{PEER} at {rate}/s, {figure}")
    return None if peer is None else medians[f"IMC at {rate}/s, {figure}"] / peer
