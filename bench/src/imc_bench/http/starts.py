"""Row 12: the time from the start of each process until it is ready, with running servers."""

import tempfile
import time
from collections.abc import Mapping

import uvloop

from imc_bench.cpu import cpu_seconds
from imc_bench.http.stores import Stores, stores
from imc_bench.processes import measured
from imc_bench.rounds import alternate, spread
from imc_bench.rows import Result, Scale

MAX_SECONDS = 1.5
_SCRIPTS = ("imc-command-api", "imc-projector", "imc-query-api", "imc-push-node", "imc-standalone")


def measure(scale: Scale) -> list[Result]:
    """Measure the seconds until each process is ready, in turn, on one core."""
    return uvloop.run(_measure(scale))


async def _measure(scale: Scale) -> list[Result]:
    async with stores() as servers:
        found = await alternate(
            {script: lambda script=script: _start(script, servers) for script in _SCRIPTS}, scale.rounds
        )
    figures = {script: spread(each["seconds"], "s") for script, each in found.items()}
    figures |= {f"{script}, CPU": spread(each["CPU"], "s") for script, each in found.items()}
    slowest = max(figures[script].median for script in _SCRIPTS)
    starts = sum(len(each["seconds"]) for each in found.values())
    check = f"all {starts} starts ended in 200 on /readyz"
    return [
        Result(
            "12",
            "start to ready",
            figures,
            f"≤ {MAX_SECONDS:g} s",
            slowest / MAX_SECONDS,
            slowest <= MAX_SECONDS,
            [check],
            shown=len(_SCRIPTS),
        )
    ]


async def _start(script: str, servers: Stores) -> Mapping[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        own = {"IMC_COMMAND_API_URL": "http://127.0.0.1:1", "IMC_DATA_DIR": folder}
        begun = time.perf_counter()
        async with measured(script, {**servers.env, **own}) as process:
            return {"seconds": time.perf_counter() - begun, "CPU": cpu_seconds(process.pid)}
