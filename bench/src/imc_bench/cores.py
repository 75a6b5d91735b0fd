"""Which core does what: the measured process has one to itself, the load another."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Cores:
    """Numbers of processor cores; the same one twice where there is only one."""

    server: int
    load: int


def choose() -> Cores:
    """Two of the cores that this process may use."""
    usable = sorted(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0})
    return Cores(server=usable[-1], load=usable[0])


def pin(pid: int, core: int) -> None:
    """Keep a process, all its threads and what they start later, to one core."""
    if not hasattr(os, "sched_setaffinity"):
        return  # macOS has no such thing: its figures are noisier
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), {core})
