"""The Redis and the database of a run: waits for the projection, and reads what the checker needs."""

import contextlib
import json
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

from imc_contracts import names
from redis.asyncio import Redis
from redis.exceptions import RedisError

from imc_testkit import databases
from imc_testkit.history import Group, Row, digest
from imc_testkit.waiting import wait_until

_ROWS = """
    SELECT message_id, app_id, content, status, log_id, last_log_id, group_id
    FROM imc_message WHERE app_id IN ({})"""  # - app ids are made by the run itself
_GROUPS = """
    SELECT app_id, group_id, message_total, newest_message_id
    FROM imc_group WHERE app_id IN ({})"""


class Stores:
    """Reads the Redis and the database of a run directly."""

    def __init__(
        self, redis: str | Callable[[], AbstractAsyncContextManager[Redis]], database_url: str
    ) -> None:
        """``redis`` is the URL of a server, or makes clients of several."""
        self._redis = redis
        self.database_url = database_url

    async def projected(self, app_ids: Collection[str], timeout: float) -> None:
        """Wait until all entries of these apps' logs are projected."""

        async def behind() -> dict[str, tuple[bytes, bytes]]:
            ends = {app_id: await self._ends(redis, app_id) for app_id in app_ids}
            return {app_id: both for app_id, both in ends.items() if both[0] != both[1]}

        async def is_done() -> bool:
            nonlocal waiting
            try:
                waiting = await behind()
            except (RedisError, OSError):
                return False
            return not waiting

        waiting: dict[str, tuple[bytes, bytes]] = {}
        async with self.redis() as redis:
            try:
                await wait_until(is_done, timeout, 0.05, what="all entries to be projected")
            except AssertionError as error:
                raise AssertionError(f"{error}; newest entries and positions: {waiting}") from None

    async def stored(self, message_ids: Collection[str], timeout: float) -> None:
        """Wait until the database has these messages."""
        ids = ", ".join(str(int(message_id)) for message_id in message_ids)
        count = f"SELECT COUNT(*) FROM imc_message WHERE message_id IN ({ids})"  # noqa: S608 - numbers

        async def are_stored() -> bool:
            return (await databases.run(self.database_url, count))[0][0] == len(message_ids)

        await wait_until(are_stored, timeout, 0.05, what="messages to be stored")

    async def end_of_log(self, app_id: str) -> str:
        """The cursor of the newest entry, or an empty string."""
        async with self.redis() as redis:
            state: Any = await redis.hmget(names.log_state(app_id), ["epoch", "last"])  # pyright: ignore
        return b".".join(state).decode() if all(state) else ""

    async def rows(self, app_ids: Collection[str]) -> list[Row]:
        """All rows of these apps in the message table."""
        apps = ", ".join(f"'{app_id}'" for app_id in app_ids)
        found = await databases.run(self.database_url, _ROWS.format(apps))
        return [
            Row(str(message_id), app_id, digest(content), *others)
            for message_id, app_id, content, *others in found
        ]

    async def groups(self, app_ids: Collection[str]) -> list[Group]:
        """All groups of these apps."""
        apps = ", ".join(f"'{app_id}'" for app_id in app_ids)
        found = await databases.run(self.database_url, _GROUPS.format(apps))
        return [
            Group(app_id, group_id, int(total), str(newest_id))
            for app_id, group_id, total, newest_id in found
        ]

    async def dead_letters(self, app_ids: Collection[str]) -> set[str]:
        """The ids of the messages among the dead letters. Entries that are not events are skipped."""
        found: set[str] = set()
        async with self.redis() as redis:
            for app_id in app_ids:
                letters = cast(
                    "Sequence[tuple[bytes, dict[bytes, bytes]]]",
                    await redis.xrange(names.dead_letters(app_id)),  # pyright: ignore[reportUnknownMemberType]
                )
                for _, fields in letters:
                    with contextlib.suppress(ValueError, KeyError):
                        found.add(json.loads(fields[b"v"])["messageId"])
        return found

    async def execute(self, statement: str) -> None:
        """Run a statement on the database."""
        await databases.run(self.database_url, statement)

    def redis(self) -> AbstractAsyncContextManager[Redis]:
        """A new client."""
        if isinstance(self._redis, str):
            return Redis.from_url(self._redis)  # pyright: ignore[reportUnknownMemberType]
        return self._redis()

    async def _ends(self, redis: Redis, app_id: str) -> tuple[bytes, bytes]:
        """The newest entry of a log, and the one up to which the database has all."""
        newest: Any = await redis.xrevrange(names.log(app_id), count=1)  # pyright: ignore
        projected: Any = await redis.hget(names.log_state(app_id), "projected")  # pyright: ignore
        return newest[0][0] if newest else b"", projected or b""
