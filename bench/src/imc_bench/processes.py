"""The processes under measurement: IMC's own and the peers', each kept to the core for servers."""

import contextlib
from collections.abc import AsyncGenerator, Mapping

from imc_testkit.processes import Process, free_port

from imc_bench import cores

PRODUCTION = {
    "IMC_AUTH": "off",
    "IMC_LOG_LEVEL": "warning",
    # Nothing is projected while pushes alone are measured.
    "IMC_BACKLOG_LIMIT": "1000000000",
    "IMC_DATABASE_POOL": "4",
}
"""What every process of IMC is told in a measurement, unless its row says otherwise."""


@contextlib.asynccontextmanager
async def started(script: str, env: Mapping[str, str]) -> AsyncGenerator[Process]:
    """A console script of IMC on the core for servers, from its first moment on.

    It runs as in `PRODUCTION`, changed by ``env``.
    """
    async with _on_its_core(Process(script, {**PRODUCTION, **env})) as process:
        yield process


@contextlib.asynccontextmanager
async def measured(script: str, env: Mapping[str, str]) -> AsyncGenerator[Process]:
    """The same, ready."""
    async with started(script, env) as process:
        await process.ready()
        yield process


@contextlib.asynccontextmanager
async def peer(application: str, env: Mapping[str, str], *options: str) -> AsyncGenerator[Process]:
    """An ASGI application on uvicorn as IMC has it (uvloop, httptools, no log of accesses), ready.

    ``application`` is ``module:name``. It must answer ``/readyz``.
    """
    port = free_port()
    arguments = (application, "--port", str(port), "--loop", "uvloop", "--http", "httptools")
    quiet = ("--no-access-log", "--no-server-header", "--log-level", "warning")
    process = Process("uvicorn", env, port, arguments=(*arguments, *quiet, *options))
    async with _on_its_core(process):
        await process.ready()
        yield process


@contextlib.asynccontextmanager
async def _on_its_core(process: Process) -> AsyncGenerator[Process]:
    async with process:
        # At once, before it has threads: those it starts inherit the core.
        cores.pin(process.pid, cores.choose().server)
        yield process
