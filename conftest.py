"""What every test of the workspace can ask for, and the watch over all of them."""

import io
import json
import logging
from collections.abc import Callable, Generator
from typing import Any, cast

import pytest
import structlog
from blockbuster import BlockBuster
from imc_service.logs import configure

pytest_plugins = ["imc_testkit.plugin"]

_OURS = [
    "imc_contracts",
    "imc_service",
    "imc_command_api",
    "imc_query_api",
    "imc_push_node",
]

_MAY_BLOCK = [
    ("imc_service/redis/masters.py", "script"),  # reads a script's file when a process starts
    ("imc_command_api/store/statements.py", "read_sql"),  # reads files of SQL when a process starts
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


@pytest.fixture
def lines_of_logs() -> Generator[Callable[[], list[dict[str, Any]]]]:
    """Log as a process does, for one test. Returns the lines that were written since the last call."""
    root = logging.getLogger()
    before, level, config = root.handlers[:], root.level, structlog.get_config()
    root.handlers.clear()  # or they were closed, and pytest uses them again
    configure("test", "info")
    # Loggers would keep this configuration for all tests that follow.
    structlog.configure(cache_logger_on_first_use=False)
    own = cast("logging.StreamHandler[io.StringIO]", root.handlers[0])
    written = io.StringIO()
    own.setStream(written)

    def take() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in written.getvalue().splitlines()]
        written.truncate(0)
        written.seek(0)
        return lines

    yield take
    structlog.configure(**config)
    root.removeHandler(own)
    root.handlers += [each for each in before if each not in root.handlers]
    root.setLevel(level)
