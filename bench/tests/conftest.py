"""What tests of the bench leave as they found it."""

import os
from collections.abc import Generator

import pytest


@pytest.fixture(autouse=True)
def all_cores() -> Generator[None]:
    """The bench keeps its own process to one core; the tests after it have use for the others."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    usable = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, usable)
