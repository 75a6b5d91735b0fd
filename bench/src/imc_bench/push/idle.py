"""Row 9: memory and CPU time of idle gateways."""

import asyncio
import secrets

import uvloop

from imc_bench import rounds
from imc_bench.cpu import cpu_seconds, resident_bytes
from imc_bench.installation import installation
from imc_bench.push.audience import audience
from imc_bench.push.imc_relay import imc
from imc_bench.push.relay import Relay
from imc_bench.rows import Result, Scale, Spread

GATEWAYS = 5_000
KILOBYTES = 18
SHARE_OF_CORE = 0.02


def measure(scale: Scale) -> list[Result]:
    """Measure memory with and without gateways, and the CPU time of whole rounds of pings."""
    return [uvloop.run(_measure(scale))]


async def _measure(scale: Scale) -> Result:
    async with installation() as own:
        relay = await imc(own)
        [pid] = relay.pids
        app_id = f"app-{secrets.token_hex(4)}"
        # Warm-up: what the process allocates for its first gateways is not part of their cost.
        await _with_gateways(relay, app_id, 100, 0)
        before = resident_bytes(pid)
        cpu_before = await _cpu_over(pid, scale.of(5, 15))
        memory, cpu = await _with_gateways(relay, app_id, GATEWAYS, scale.of(16, 32))
    kilobytes = (memory - before) / GATEWAYS / 1024
    return Result(
        row="9",
        name=f"{GATEWAYS:,} idle gateways",
        figures={
            "memory of one": Spread(kilobytes, kilobytes, kilobytes, "KB"),
            "CPU of their keep-alive": rounds.spread([100 * each for each in cpu], "% of a core"),
            "CPU without any": Spread(100 * cpu_before, 100 * cpu_before, 100 * cpu_before, "% of a core"),
        },
        goal=f"at most {KILOBYTES} KB each, {SHARE_OF_CORE:.0%} of a core for all",
        ratio=kilobytes / KILOBYTES,
        met=kilobytes <= KILOBYTES and rounds.spread(cpu, "").median <= SHARE_OF_CORE,
        checks=["all still connected at the end, none received a push"],
    )


async def _with_gateways(relay: Relay, app_id: str, count: int, seconds: float) -> tuple[int, list[float]]:
    """Measure the memory of the push-node with ``count`` gateways, and five times its share of a core."""
    paths = [relay.listen_path(app_id, number) for number in range(count)]
    async with audience(app_id, relay.port, paths, relay.greeting) as connected:
        await asyncio.sleep(min(seconds, 2))  # let the node clean up after the connects
        memory = resident_bytes(relay.pids[0])
        cpu = [await _cpu_over(relay.pids[0], seconds / 5) for _ in range(5 if seconds else 0)]
        connected.check({})
        assert all(listener.is_connected for listener in connected.listeners)
    return memory, cpu


async def _cpu_over(pid: int, seconds: float) -> float:
    before = cpu_seconds(pid)
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(seconds)
    return (cpu_seconds(pid) - before) / (asyncio.get_running_loop().time() - began)
