"""CPU time and memory of a process with all its children, as Linux counts them in /proc."""

import os
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """Seconds of CPU, user and system, that a process and its living descendants have used."""
    ticks = sum(sum(map(int, _stat(each)[11:15])) for each in tree(pid))
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Bytes of memory that a process and its living descendants hold; pages they share count once each."""
    pages = sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in tree(pid))
    return pages * os.sysconf("SC_PAGE_SIZE")


def tree(pid: int) -> list[int]:
    """The process and its living descendants."""
    found = [pid]
    for each in found:  # grows while it is read
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found


def _stat(pid: int) -> list[str]:
    # The name, in parentheses, may hold anything: the fields are counted from behind it.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
