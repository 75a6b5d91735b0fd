"""Whole installations of IMC as real processes, for end-to-end tests."""

import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

from imc_testkit.processes import Process
from imc_testkit.tokens import OFF


@dataclass(frozen=True)
class Deployment:
    """The processes of an installation, one or more of each kind.

    In a standalone installation every list holds the same process.
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
    """Run everything in one process, with the embedded log and database in ``data_dir``.

    Authentication is off unless ``env`` turns it on.
    """
    async with Process("imc-standalone", {**OFF, "IMC_DATA_DIR": str(data_dir), **(env or {})}) as process:
        deployment = Deployment([process], [process], [process], [process])
        await deployment.ready()
        yield deployment


@dataclass(frozen=True)
class Start:
    """Settings and variant of one process, where they differ from those of the others."""

    env: Mapping[str, str] = field(default_factory=dict[str, str])
    variant: str | None = None
    port: int | None = None
    """A free one if none is given."""


@contextlib.asynccontextmanager
async def separate(
    redis_url: str,
    database_url: str,
    env: Mapping[str, str] | None = None,
    *,
    command_apis: Sequence[Start] = (Start(), Start()),
    projectors: Sequence[Start] = (Start(), Start()),
    query_apis: Sequence[Start] = (Start(),),
    push_nodes: Sequence[Start] = (Start(), Start()),
) -> AsyncGenerator[Deployment]:
    """Run two command-apis, two projectors, one query-api and two push-nodes by default.

    The database must be migrated. The push-nodes forward to the command-apis in turn.
    Authentication is off unless ``env`` turns it on.
    """
    stores = {**OFF, "IMC_REDIS_URL": redis_url, "IMC_DATABASE_URL": database_url, **(env or {})}
    async with contextlib.AsyncExitStack() as stack:

        async def start(script: str, starts: Sequence[Start], *peers: Mapping[str, str]) -> list[Process]:
            more = cycle(peers or ({},))
            return [
                await stack.enter_async_context(
                    Process(script, {**stores, **next(more), **each.env}, each.port, variant=each.variant)
                )
                for each in starts
            ]

        commands = await start("imc-command-api", command_apis)
        queries = await start("imc-query-api", query_apis)
        query_url = {"IMC_QUERY_API_URL": queries[0].url} if queries else {}
        deployment = Deployment(
            command_apis=commands,
            projectors=await start("imc-projector", projectors),
            query_apis=queries,
            push_nodes=await start(
                "imc-push-node",
                push_nodes,
                *({"IMC_COMMAND_API_URL": process.url, **query_url} for process in commands),
            ),
        )
        await deployment.ready()
        yield deployment
