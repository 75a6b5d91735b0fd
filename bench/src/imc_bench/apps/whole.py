"""A whole installation, and the CPU time of each of its parts."""

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass

import orjson
from imc_testkit import databases
from imc_testkit.deployment import Deployment, Start, separate
from imc_testkit.servers import kept_in_memory
from imc_testkit.waiting import wait_until

from imc_bench.cpu import cpu_seconds
from imc_bench.http import callers, drafts
from imc_bench.http.senders import PATH
from imc_bench.http.stores import Stores, stores
from imc_bench.processes import PRODUCTION
from imc_bench.push import order
from imc_bench.push.audience import CONNECTS_AT_ONCE, Audience
from imc_bench.push.imc_relay import imc_greeting, imc_path
from imc_bench.rows import InvalidRun

DATABASE = "MariaDB"
_SENDERS = 16
_PROJECTED_SECONDS = 300.0


@dataclass(frozen=True)
class Whole:
    """One process of each service, with their Redis and their MariaDB."""

    servers: Stores
    deployment: Deployment

    @property
    def send_url(self) -> str:
        """Where messages are sent to."""
        return self.deployment.command_apis[0].url

    def cpu(self) -> dict[str, float]:
        """CPU seconds of each part so far."""
        kinds = {
            "command-api": self.deployment.command_apis,
            "projector": self.deployment.projectors,
            "query-api": self.deployment.query_apis,
            "push-node": self.deployment.push_nodes,
        }
        used = {kind: cpu_seconds(processes[0].pid) for kind, processes in kinds.items()}
        return used | {
            "Redis": cpu_seconds(self.servers.redis_pid),
            DATABASE: cpu_seconds(self.servers.mariadb_pid),
        }

    async def rows(self) -> int:
        """How many messages the database has."""
        [[rows]] = await databases.run(self.servers.database_url, "SELECT COUNT(*) FROM imc_message")
        return rows

    async def send_to_each(self, apps: Iterable[str]) -> None:
        """Send one message to each app, and wait until the database has them all.

        Raises `InvalidRun` if one is not accepted.
        """
        apps, before = list(apps), await self.rows()
        shares = [apps[sender::_SENDERS] for sender in range(_SENDERS)]
        sent = await callers.call(
            self.send_url, _SENDERS, math.inf, lambda sender: (send_to(each, 0) for each in shares[sender])
        )
        if sent.count != len(apps):
            raise InvalidRun(f"{len(apps)} messages were sent, {sent.count} were accepted")
        await self.projected(before + len(apps))

    async def projected(self, rows: int) -> None:
        """Wait until the database has ``rows`` messages."""

        async def are_there() -> bool:
            return await self.rows() >= rows

        await wait_until(are_there, _PROJECTED_SECONDS, 0.2, what=f"{rows} rows")


@contextlib.asynccontextmanager
async def whole(env: Mapping[str, str] | None = None, *, in_memory: bool = False) -> AsyncGenerator[Whole]:
    """Run one process of each service on a new Redis and a new MariaDB.

    Their data are ``in_memory`` if this machine has room: for rows that measure CPU time alone. A disk that
    stalls for seconds, as those of rented machines do, adds none, and gateways are cut.
    """
    one = [Start()]
    with kept_in_memory() if in_memory else contextlib.nullcontext():
        async with (
            stores() as servers,
            separate(
                servers.redis_url,
                servers.database_url,
                {**PRODUCTION, **(env or {})},
                command_apis=one,
                projectors=one,
                query_apis=one,
                push_nodes=one,
            ) as deployment,
        ):
            yield Whole(servers, deployment)


@contextlib.asynccontextmanager
async def gateways(node_port: int, counts: Mapping[str, int]) -> AsyncGenerator[dict[str, Audience]]:
    """Connected gateways: as many of each app as ``counts`` says."""
    audiences = {app_id: Audience(app_id) for app_id in counts}
    waiting = list(audiences.values())
    try:
        for first in range(0, len(waiting), CONNECTS_AT_ONCE):
            await asyncio.gather(
                *(
                    each.connect(node_port, _paths(each.stream.app_id, counts), lambda: imc_greeting)
                    for each in waiting[first : first + CONNECTS_AT_ONCE]
                )
            )
        yield audiences
    finally:
        for each in audiences.values():
            each.close()


def one_each(apps: Iterable[str]) -> dict[str, int]:
    """The counts for `gateways` if each app has one."""
    return dict.fromkeys(apps, 1)


def _paths(app_id: str, counts: Mapping[str, int]) -> list[str]:
    return [imc_path(app_id, number) for number in range(counts[app_id])]


def send_to(app_id: str, number: int, sender: int = 0) -> bytes:
    """A request with one message, which says who sent it and its number."""
    content = order.mark(app_id, sender, number).ljust(drafts.CONTENT_CHARACTERS, "x")
    return callers.post(PATH, orjson.dumps(drafts.message(app_id, 0, 0) | {"content": content}))


def ids_of(number: int) -> list[str]:
    """The ids of the first ``number`` apps."""
    return [f"app-{each:06}" for each in range(number)]
