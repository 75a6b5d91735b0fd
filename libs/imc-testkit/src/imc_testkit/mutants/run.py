"""Running tests against changes: by workers that each have a copy of the tree and servers of their own."""

import asyncio
import contextlib
import os
import re
import signal
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis

from imc_testkit.mutants.choice import Mutant
from imc_testkit.mutants.subjects import Area
from imc_testkit.mutants.tree import TreeCopy
from imc_testkit.servers import private_mariadb, private_redis
from imc_testkit.sources import DATABASE_VARIABLE, REDIS_VARIABLE

LEAST_BOUND_SECONDS = 90.0
BOUND_FACTOR = 4.0
"""Tests that take so many times as long as without a change hang: the change is noticed."""

_UNCHANGED_BOUND_SECONDS = 900.0
_PASSED, _FAILED = 0, 1
_FAILURE = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


class TestsUnusable(Exception):
    """The tests can't judge a change: they fail without one, or can't be run."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a change. ``by`` is the test that noticed it, or "time"; "" if none did."""

    mutant: Mutant
    by: str
    seconds: float


class Worker:
    """Runs the tests of areas in one copy of the tree."""

    def __init__(self, tree: TreeCopy, environment: dict[str, str], redis: Redis) -> None:
        self._tree = tree
        self._environment = environment
        self._redis = redis

    async def unchanged(self, area: Area) -> float:
        """How long the tests of an area take without a change; raises `TestsUnusable` if they fail."""
        begin = time.monotonic()
        code, output = await self._run_tests(area, _UNCHANGED_BOUND_SECONDS)
        if code != _PASSED:
            raise TestsUnusable(f"without a change, the tests of {area.name!r} fail:\n{output}")
        return time.monotonic() - begin

    async def judge(self, mutant: Mutant, bound: float) -> Verdict:
        """Make the change, run the tests of its area, and take it back."""
        begin = time.monotonic()
        with self._tree.changed(mutant.change):
            code, output = await self._run_tests(mutant.area, bound)
        if code is None:
            return Verdict(mutant, "time", bound)
        if code not in (_PASSED, _FAILED) and not _FAILURE.search(output):
            raise TestsUnusable(f"{mutant.name}: pytest ended with {code}:\n{output}")
        failure = _FAILURE.search(output)
        by = "" if code == _PASSED else failure.group(1) if failure else f"status {code}"
        return Verdict(mutant, by, time.monotonic() - begin)

    async def _run_tests(self, area: Area, bound: float) -> tuple[int | None, str]:
        """The exit code of pytest and what it printed; None if it took longer than ``bound`` seconds."""
        await self._redis.flushall()  # pyright: ignore[reportUnknownMemberType]
        process = await asyncio.create_subprocess_exec(
            *(str(self._tree.python), "-m", "pytest", "-x", "-q", "--no-header", "--tb=line"),
            *("-p", "no:cacheprovider", *area.tests),
            cwd=self._tree.folder,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(bound):
                output, _ = await process.communicate()
                return process.returncode, output.decode(errors="replace")
        except TimeoutError:
            return None, ""
        finally:
            # What the tests started ends with them: see `imc_testkit.child`.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


@contextlib.asynccontextmanager
async def worker(root: Path) -> AsyncGenerator[Worker]:
    """A worker, its copy of the tree at ``root`` and its servers, while the context lasts."""
    with tempfile.TemporaryDirectory(prefix="imc-mutants-") as folder:
        tree = TreeCopy(root, Path(folder, "tree"))
        async with private_redis() as redis_server, private_mariadb() as mariadb:
            environment = {
                "PATH": f"{tree.python.parent}{os.pathsep}{os.environ['PATH']}",
                "HOME": os.environ.get("HOME", folder),
                "TMPDIR": folder,
                REDIS_VARIABLE: redis_server.url,
                DATABASE_VARIABLE: mariadb.url,
            }
            async with Redis.from_url(redis_server.url) as redis:  # pyright: ignore[reportUnknownMemberType]
                yield Worker(tree, environment, redis)


async def judge_all(
    root: Path, mutants: list[Mutant], jobs: int, tell: Callable[[Verdict], None]
) -> list[Verdict]:
    """Judge ``mutants`` with ``jobs`` workers; ``tell`` is called with each verdict as it comes."""
    waiting: asyncio.Queue[Mutant] = asyncio.Queue()
    for mutant in mutants:
        waiting.put_nowait(mutant)
    bounds: dict[str, asyncio.Task[float]] = {}
    verdicts: list[Verdict] = []

    async def bound_of(one: Worker, area: Area) -> float:
        return max(LEAST_BOUND_SECONDS, BOUND_FACTOR * await one.unchanged(area))

    async def work() -> None:
        async with worker(root) as one:
            while not waiting.empty():
                mutant = waiting.get_nowait()
                if mutant.area.name not in bounds:
                    bounds[mutant.area.name] = asyncio.create_task(bound_of(one, mutant.area))
                    await bounds[mutant.area.name]
                verdict = await one.judge(mutant, await bounds[mutant.area.name])
                verdicts.append(verdict)
                tell(verdict)

    async with asyncio.TaskGroup() as group:
        for _ in range(jobs):
            group.create_task(work())
    return verdicts
