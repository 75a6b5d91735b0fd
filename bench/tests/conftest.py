"""Fixtures that restore what tests of the benchmarks change."""

import os
from collections.abc import Generator

import pytest


@pytest.fixture(autouse=True)
def all_cores() -> Generator[None]:
    """Restore the CPU affinity, since the benchmarks pin their own process to one core."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    usable = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, usable)
