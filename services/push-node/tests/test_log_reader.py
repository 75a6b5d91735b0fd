"""Where a log stands, when something is appended while that is asked."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, cast

from imc_push_node.stream.log_reader import LogReader
from imc_service.redis.masters import Masters
from imc_testkit.waiting import wait_until
from prometheus_client import Counter


class BusyRedis:
    """A Redis that does something else between any two commands of a pipeline that is no transaction."""

    def __init__(self, redis: Any, between: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._redis = redis
        self._between = between

    @contextlib.asynccontextmanager
    async def pipeline(self, transaction: bool) -> AsyncGenerator[Any]:
        async with self._redis.pipeline(transaction=transaction) as pipeline:
            execute = pipeline.execute

            async def execute_one_by_one() -> list[Any]:
                commands, answers = list(pipeline.command_stack), list[Any]()
                await pipeline.reset()
                for arguments, _ in commands:
                    answers.append(await self._redis.execute_command(*arguments))
                    if arguments is not commands[-1][0]:
                        await asyncio.create_task(self._between())
                return answers

            pipeline.execute = execute if transaction else execute_one_by_one
            yield pipeline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._redis, name)


async def test_what_is_born_while_the_state_is_asked_comes_after_it(app_log: Any) -> None:
    async def milliseconds() -> int:
        seconds, microseconds = await app_log.redis.time()
        return seconds * 1000 + microseconds // 1000

    async def be_born() -> None:
        [born] = await app_log.send()

        async def is_past() -> bool:
            return await milliseconds() > born.entry.ms

        await wait_until(is_past)

    skipped = Counter("skipped", "Skipped.", registry=None)
    busy = Masters(cast(Any, BusyRedis(app_log.redis, be_born)))
    state = await LogReader(busy, skipped).state(app_log.app_id)
    stretch = await LogReader(app_log.masters, skipped).after(app_log.app_id, state.point)
    assert stretch.proves(state.point)
    assert len(stretch.entries) == (0 if state.last == stretch.state.last else 1)
