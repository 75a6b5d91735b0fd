"""CPU time and memory of a process and its descendants, from /proc."""

import contextlib
import resource
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """CPU seconds, user and system, of all running threads of a process and its descendants."""
    total = 0
    for each in tree(pid):
        for thread in Path(f"/proc/{each}/task").iterdir():
            with contextlib.suppress(FileNotFoundError):  # the thread has just ended
                # Nanoseconds. The clock ticks of `stat` are too coarse for rounds of half a second.
                total += int((thread / "schedstat").read_text().split()[0])
    return total / 1e9


def resident_bytes(pid: int) -> int:
    """The proportional set size (PSS) of a process and its descendants, in bytes."""
    return sum(_proportional_bytes(each) for each in tree(pid))


def writes(pid: int) -> int:
    """How many write system calls the process has made, without its descendants."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("syscw:"))


def tree(pid: int) -> list[int]:
    """The ids of the process and its running descendants."""
    found = [pid]
    for each in found:  # grows during the loop
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found


def allow_connections() -> None:
    """Raise the limit of open files to the maximum, for this process and its children."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _proportional_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith("Pss:"))
    return int(kilobytes) * 1024
