"""What every test of the workspace can ask for, and the watch over all of them."""

from collections.abc import Generator

import pytest
import structlog
from blockbuster import BlockBuster

pytest_plugins = ["imc_testkit.plugin"]

_OURS = [
    "imc_contracts",
    "imc_service",
    "imc_command_api",
    "imc_query_api",
    "imc_push_node",
]

_MAY_BLOCK = [
    ("imc_service/redis/client.py", "script_in"),  # reads a script's file when a process starts
    ("imc_command_api/store/statements.py", "statements"),  # reads files of SQL when a process starts
    ("imc_query_api/queries/statements.py", "read_sql"),  # the same
    ("importlib/metadata/__init__.py", "version"),  # redis-py asks for its own version
    ("linecache.py", "updatecache"),  # a traceback shows its source lines
]


def pytest_configure() -> None:
    """Keep logs as plain as processes do.

    Left alone, structlog draws exceptions by way of rich where that is installed: with all that their frames
    hold, which takes minutes.
    """
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, plain])


@pytest.fixture(scope="session", autouse=True)
def no_blocked_loop() -> Generator[None]:
    """A call of ours that blocks the event loop raises `BlockingError`."""
    watch = BlockBuster(_OURS)
    for function in watch.functions.values():
        for file, caller in _MAY_BLOCK:
            function.can_block_in(file, caller)
    watch.activate()
    yield
    watch.deactivate()
