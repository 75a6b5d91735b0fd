"""Disconnects gateways for operators: a command to all nodes of the app, and their answers.

The command is published where the nodes of an app hear of new connections. A node that has connections of the
gateway closes them and adds itself to the answers, a key that soon expires.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Set
from typing import Any, NamedTuple, cast

from imc_contracts import names
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused, unavailable
from imc_service.logs import get_logger
from imc_service.redis.masters import Masters
from redis.asyncio import Redis
from redis.exceptions import RedisError

from imc_push_node.cluster.roster_pages import RosterPages

logger = get_logger("disconnects")

ANSWER_SECONDS = 3.0
"""How long a node may take to answer."""

UNLISTED_SECONDS = 0.5
"""The same for nodes that the roster does not name: it may lack a gateway that has just connected."""

MOST_ROUNDS = 2
"""How many times a command is sent at most: the gateway may connect to other nodes meanwhile."""

LOOK_SECONDS = 0.05
KEEP_MS = 30_000


class Disconnection(NamedTuple):
    """What became of a command."""

    connections: int
    """How many were closed."""
    is_whole: bool
    """False if a node that has the gateway did not answer."""


class Disconnects:
    """Sends commands, and answers those of other nodes. `run` must be running."""

    def __init__(self, masters: Masters, pages: RosterPages, process: str) -> None:
        """``process`` is the id under which this process is announced."""
        self._masters = masters
        self._pages = pages
        self._process = process
        self._answers: asyncio.Queue[tuple[str, str, int]] = asyncio.Queue()

    def answer(self, app_id: str, command: str, closed: int) -> None:
        """Answer that ``closed`` connections of this node were closed. Never waits."""
        self._answers.put_nowait((app_id, command, closed))

    async def run(self) -> None:
        """Write answers until cancelled."""
        while True:
            app_id, command, closed = await self._answers.get()
            key = names.disconnected(names.shard_of(app_id), command)
            replies = await self._masters.each(
                [(key, ("ZADD", key, closed, self._process)), (key, ("PEXPIRE", key, KEEP_MS))]
            )
            if faults := [reply for reply in replies if isinstance(reply, Exception)]:
                logger.warning("an answer is lost", fault=type(faults[0]).__name__)

    async def disconnect(self, app_id: str, gateway_id: str, reason: str) -> Disconnection:
        """Close the connections of a gateway on all nodes.

        Raises `Refused`: `GATEWAY_NOT_FOUND` if there are none, `UNAVAILABLE` if Redis does not answer.
        """
        try:
            return await self._disconnect(app_id, gateway_id, reason)
        except (RedisError, OSError):
            raise unavailable("the log is out of reach") from None

    async def _disconnect(self, app_id: str, gateway_id: str, reason: str) -> Disconnection:
        answers = Counter[str]()
        expected = await self._pages.nodes_of(app_id, gateway_id)
        for _ in range(MOST_ROUNDS):
            answers.update(await self._command(app_id, gateway_id, reason, expected))
            if answers and answers.keys() >= expected:
                return Disconnection(answers.total(), is_whole=True)
            # Those that have answered may still be listed: their rows go with the next flush.
            left = await self._pages.nodes_of(app_id, gateway_id) - answers.keys()
            if not left:
                if answers:
                    return Disconnection(answers.total(), is_whole=True)
                raise Refused(ErrorCode.GATEWAY_NOT_FOUND, "no such gateway is connected to this app")
            if left & expected:
                break
            expected = left  # the gateway connected to these after the command was sent
        return Disconnection(answers.total(), is_whole=False)

    async def _command(self, app_id: str, gateway_id: str, reason: str, expected: Set[str]) -> dict[str, int]:
        """Tell all nodes, and return how many connections each has closed."""
        command = secrets.token_hex(8)
        message = names.disconnect_of(names.Disconnect(gateway_id, command, reason))
        channel = names.gateway_news(app_id, self._masters.database)
        await self._masters.run(
            names.gateways(app_id),
            lambda redis: redis.spublish(channel, message),  # pyright: ignore
        )
        return await self._answers_to(app_id, command, expected)

    async def _answers_to(self, app_id: str, command: str, expected: Set[str]) -> dict[str, int]:
        """What nodes have answered: once all that were expected have, or their time is up."""
        key = names.disconnected(names.shard_of(app_id), command)

        async def read(redis: Redis) -> list[tuple[bytes, float]]:
            return cast(Any, await redis.zrangebyscore(key, "-inf", "+inf", withscores=True))  # pyright: ignore

        seconds = ANSWER_SECONDS if expected else UNLISTED_SECONDS
        answers: dict[str, int] = {}
        for _ in range(int(seconds / LOOK_SECONDS)):
            await asyncio.sleep(LOOK_SECONDS)
            answers = {node.decode(): int(count) for node, count in await self._masters.run(key, read)}
            if answers and answers.keys() >= expected:
                break
        return answers
