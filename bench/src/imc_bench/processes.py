"""Starts the measured processes of IMC and its peers, pinned to the server core."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence

from imc_testkit.child import Child
from imc_testkit.processes import Process, free_port
from imc_testkit.programs import search_path
from imc_testkit.waiting import wait_until

from imc_bench import cores

START_SECONDS = 20.0

PRODUCTION = {
    "IMC_AUTH": "off",
    "IMC_LOG_LEVEL": "warning",
    # Without a projector the backlog grows, and must not be limited.
    "IMC_BACKLOG_LIMIT": "1000000000",
    "IMC_DATABASE_POOL": "4",
    # Some rows have thousands of apps, all of them new.
    "IMC_NEW_APPS_PER_HOUR": "0",
}
"""Settings of every measured process of IMC, unless a row overrides them."""


@contextlib.asynccontextmanager
async def started(script: str, env: Mapping[str, str]) -> AsyncGenerator[Process]:
    """Start a console script of IMC on the server core, with the settings `PRODUCTION` and ``env``."""
    async with _on_server_core(Process(script, {**PRODUCTION, **env})) as process:
        yield process


@contextlib.asynccontextmanager
async def measured(script: str, env: Mapping[str, str]) -> AsyncGenerator[Process]:
    """As `started`, and wait until the process is ready."""
    async with started(script, env) as process:
        await process.ready()
        yield process


@contextlib.asynccontextmanager
async def peer(application: str, env: Mapping[str, str], *options: str) -> AsyncGenerator[Process]:
    """Start an ASGI application on uvicorn, configured as for IMC (uvloop, httptools, no access log).

    ``application`` is ``module:name``. It must answer ``/readyz``.
    """
    port = free_port()
    arguments = (application, "--port", str(port), "--loop", "uvloop", "--http", "httptools")
    quiet = ("--no-access-log", "--no-server-header", "--log-level", "warning")
    process = Process("uvicorn", env, port, arguments=(*arguments, *quiet, *options))
    async with _on_server_core(process):
        await process.ready()
        yield process


@contextlib.asynccontextmanager
async def listening(
    arguments: Sequence[str], env: Mapping[str, str], port: int, core: int | None = None
) -> AsyncGenerator[Child]:
    """Run a program that listens on the port in PORT, on the server core or another core."""
    child = Child(arguments, {"PATH": search_path(), "PORT": str(port), **env})
    try:
        with cores.starting_on(cores.choose().server if core is None else core):
            child.spawn()
        try:
            await wait_until(lambda: _listens(child, port), START_SECONDS, 0.02)
        except AssertionError as error:
            raise AssertionError(f"{arguments}: {error}\n{child.log}") from None
        yield child
    finally:
        await child.close()


async def _listens(child: Child, port: int) -> bool:
    assert child.exit_code is None, f"the program ended with {child.exit_code}"
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@contextlib.asynccontextmanager
async def _on_server_core(process: Process) -> AsyncGenerator[Process]:
    async with process:
        # Pinned before it starts threads, which inherit the core.
        cores.pin(process.pid, cores.choose().server)
        yield process
