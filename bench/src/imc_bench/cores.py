"""Which core does what: the measured process has one to itself, the load another."""

import contextlib
import functools
import os
from collections.abc import Generator
from dataclasses import dataclass


@dataclass(frozen=True)
class Cores:
    """Numbers of processor cores; the same one twice where there is only one."""

    server: int
    load: int


@functools.cache
def choose() -> Cores:
    """Two of the cores that this process might use when it was first asked."""
    usable = sorted(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0})
    return Cores(server=usable[-1], load=usable[0])


def pin(pid: int, core: int) -> None:
    """Keep a process, all its threads and what they start later, to one core."""
    if not hasattr(os, "sched_setaffinity"):
        return  # macOS has no such thing: its figures are noisier
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), {core})


@contextlib.contextmanager
def starting_on(core: int) -> Generator[None]:
    """Processes that are started inside are kept to ``core`` from their beginning. Await nothing inside."""
    pin(os.getpid(), core)
    try:
        yield
    finally:
        pin(os.getpid(), choose().load)
