"""Whole installations of IMC, as real processes: what end-to-end tests run against."""

import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from imc_testkit.processes import Process


@dataclass(frozen=True)
class Deployment:
    """The processes of an installation; of each kind one or several, which are all the same to clients.

    In a standalone one every list holds the same process.
    """

    command_apis: list[Process]
    projectors: list[Process]
    query_apis: list[Process]
    push_nodes: list[Process]

    @property
    def processes(self) -> list[Process]:
        """Each process once."""
        everything = [*self.command_apis, *self.projectors, *self.query_apis, *self.push_nodes]
        return list({process.port: process for process in everything}.values())

    async def ready(self) -> None:
        """Wait until all processes are ready."""
        for process in self.processes:
            await process.ready()


@contextlib.asynccontextmanager
async def standalone(data_dir: Path, env: Mapping[str, str] | None = None) -> AsyncGenerator[Deployment]:
    """All in one process, with the embedded log and database in ``data_dir``."""
    async with Process("imc-standalone", {"IMC_DATA_DIR": str(data_dir), **(env or {})}) as process:
        deployment = Deployment([process], [process], [process], [process])
        await deployment.ready()
        yield deployment


@contextlib.asynccontextmanager
async def separate(
    redis_url: str, database_url: str, env: Mapping[str, str] | None = None
) -> AsyncGenerator[Deployment]:
    """Two command-apis, two projectors, one query-api, two push-nodes; the database is migrated already.

    Each push-node forwards to another command-api.
    """
    stores = {"IMC_REDIS_URL": redis_url, "IMC_DATABASE_URL": database_url, **(env or {})}
    async with contextlib.AsyncExitStack() as stack:

        async def start(script: str, count: int, *more: Mapping[str, str]) -> list[Process]:
            environments = cycle(more or ({},))
            return [
                await stack.enter_async_context(Process(script, {**stores, **next(environments)}))
                for _ in range(count)
            ]

        command_apis = await start("imc-command-api", 2)
        query_apis = await start("imc-query-api", 1)
        peers = [
            {"IMC_COMMAND_API_URL": command_api.url, "IMC_QUERY_API_URL": query_apis[0].url}
            for command_api in command_apis
        ]
        deployment = Deployment(
            command_apis=command_apis,
            projectors=await start("imc-projector", 2),
            query_apis=query_apis,
            push_nodes=await start("imc-push-node", 2, *peers),
        )
        await deployment.ready()
        yield deployment
