"""Assigns CPU cores: one to the measured process, another to the load."""

import contextlib
import functools
import os
from collections.abc import Generator
from dataclasses import dataclass


@dataclass(frozen=True)
class Cores:
    """Numbers of two CPU cores, or the same core twice if there is only one."""

    server: int
    load: int


@functools.cache
def choose() -> Cores:
    """Choose two of the cores that this process may use. The first choice is kept."""
    usable = sorted(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0})
    return Cores(server=usable[-1], load=usable[0])


def pin(pid: int, core: int) -> None:
    """Pin a process, its threads and its future children to one core."""
    if not hasattr(os, "sched_setaffinity"):
        return  # macOS can't pin processes: figures vary more there
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), {core})


@contextlib.contextmanager
def starting_on(core: int) -> Generator[None]:
    """Pin processes that start in this context to ``core``. Await nothing in it."""
    pin(os.getpid(), core)
    try:
        yield
    finally:
        pin(os.getpid(), choose().load)
