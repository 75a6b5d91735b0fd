"""An installation of IMC to measure, with its own servers, pinned to cores."""

import contextlib
import shutil
import tempfile
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path

from imc_testkit.deployment import Deployment, Start, separate
from imc_testkit.processes import run_script
from imc_testkit.servers import private_redis

from imc_bench import cores
from imc_bench.processes import PRODUCTION

PUBSUB_BUFFER = ("--client-output-buffer-limit", "pubsub 256mb 64mb 60")
"""Options of Redis: what it keeps for a subscriber that is behind."""


@dataclass(frozen=True)
class Installation:
    """One command-api, one or more push-nodes, and their Redis."""

    redis_url: str
    redis_pid: int
    deployment: Deployment


@contextlib.asynccontextmanager
async def installation(
    env: Mapping[str, str] | None = None, *, push_nodes: int = 1, all_on_server_core: bool = False
) -> AsyncGenerator[Installation]:
    """Run IMC without a projector: sends are appended to the log, and pushed from there.

    Push-nodes run on the server core. Redis and command-api run on the load core, or on the server core with
    ``all_on_server_core``.
    """
    folder = Path(tempfile.mkdtemp(prefix="imc-bench-"))
    try:
        async with private_redis(*PUBSUB_BUFFER) as redis:
            database_url = f"sqlite:///{folder / 'imc.db'}"
            await run_script("imc-migrate", {"IMC_DATABASE_URL": database_url})
            async with separate(
                redis.url,
                database_url,
                {**PRODUCTION, **(env or {})},
                command_apis=[Start()],
                projectors=[],
                query_apis=[],
                push_nodes=[Start()] * push_nodes,
            ) as deployment:
                kept = [*deployment.push_nodes, *(deployment.command_apis if all_on_server_core else ())]
                for process in kept:
                    cores.pin(process.pid, cores.choose().server)
                if all_on_server_core:
                    cores.pin(redis.process.pid, cores.choose().server)
                yield Installation(redis.url, redis.process.pid, deployment)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
