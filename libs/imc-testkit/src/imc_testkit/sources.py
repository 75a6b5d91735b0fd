"""Finds the servers that all tests share. The first of these that is available is used:

1. IMC_TEST_REDIS_URL; IMC_TEST_DATABASE_URL with an account that may create databases.
2. A container, if there is a Docker engine.
3. The server programs of this machine, started for the tests; they are installed first where apt-get can.

Tests are not skipped if no server is found. They fail, and the message says what to do.
"""

import contextlib
import gc
import os
import warnings
from collections.abc import AsyncGenerator, Generator
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from imc_testkit import databases
from imc_testkit.programs import NotInstalled
from imc_testkit.servers import private_mariadb, private_redis
from imc_testkit.waiting import wait_until

REDIS_VARIABLE = "IMC_TEST_REDIS_URL"
DATABASE_VARIABLE = "IMC_TEST_DATABASE_URL"
_START_SECONDS = 60.0

T = TypeVar("T")


class NoServer(Exception):
    """No server was found; the message says what to do."""


@contextlib.asynccontextmanager
async def shared_redis() -> AsyncGenerator[str]:
    """Yield the URL of a Redis for all tests. Raises `NoServer`."""
    async with contextlib.AsyncExitStack() as stack:
        if given := os.environ.get(REDIS_VARIABLE):
            url = given
        elif place := stack.enter_context(
            _container("redis:7", 6379, ["--appendonly", "yes", "--save", ""], {})
        ):
            url = f"redis://{place}/0"
        else:
            url = (await _private(stack, private_redis(), REDIS_VARIABLE)).url
        await wait_until(lambda: _redis_answers(url), _START_SECONDS, what="Redis to answer")
        yield url


@contextlib.asynccontextmanager
async def shared_mariadb() -> AsyncGenerator[str]:
    """Yield the URL of a MariaDB, with an account that may create databases. Raises `NoServer`."""
    async with contextlib.AsyncExitStack() as stack:
        if given := os.environ.get(DATABASE_VARIABLE):
            url = given
        elif place := stack.enter_context(
            _container("mariadb:10.11", 3306, [], {"MARIADB_ROOT_PASSWORD": "imc"})
        ):
            url = f"mysql://root:imc@{place}/mysql"
        else:
            url = (await _private(stack, private_mariadb(), DATABASE_VARIABLE)).url
        await wait_until(lambda: databases.answers(url), _START_SECONDS, what="MariaDB to answer")
        yield url


async def _private(
    stack: contextlib.AsyncExitStack, server: contextlib.AbstractAsyncContextManager[T], variable: str
) -> T:
    try:
        return await stack.enter_async_context(server)
    except NotInstalled as error:
        raise NoServer(f"{error}; or start a Docker engine; or set {variable}") from None


@contextlib.contextmanager
def _container(
    image: str, port: int, command: list[str], environment: dict[str, str]
) -> Generator[str | None]:
    """Run a container and yield its ``host:port``, or None if no Docker engine can run it."""
    with contextlib.ExitStack() as stack:
        yield _start_container(stack, image, port, command, environment)


def _start_container(
    stack: contextlib.ExitStack, image: str, port: int, command: list[str], environment: dict[str, str]
) -> str | None:
    with warnings.catch_warnings():
        # If it finds no engine, the library leaves a socket open; tests must not fail for that.
        warnings.simplefilter("ignore")
        try:
            # Slow to import, and needed only if no URL is given.
            from testcontainers.core.container import DockerContainer

            container: Any = DockerContainer(image).with_exposed_ports(port).with_command(command)
            stack.enter_context(container.with_envs(**environment))
            return f"{container.get_container_host_ip()}:{container.get_exposed_port(port)}"
        except Exception:
            # There is no engine, or it can't pull the image: use the programs of this machine.
            stack.close()
            return None
        finally:
            gc.collect()


async def _redis_answers(url: str) -> bool:
    with contextlib.suppress(RedisError, OSError):
        async with Redis.from_url(url) as redis:  # pyright: ignore[reportUnknownMemberType]
            return bool(await redis.ping())  # pyright: ignore
    return False
