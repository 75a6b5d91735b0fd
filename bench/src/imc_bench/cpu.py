"""CPU time and memory of a process with all its children, as Linux counts them in /proc."""

import contextlib
import resource
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """Seconds of CPU, user and system, of all living threads of a process and its living descendants."""
    total = 0
    for each in tree(pid):
        for thread in Path(f"/proc/{each}/task").iterdir():
            with contextlib.suppress(FileNotFoundError):  # it has just ended
                # Nanoseconds: the ticks of `stat` are too coarse for rounds of half a second.
                total += int((thread / "schedstat").read_text().split()[0])
    return total / 1e9


def resident_bytes(pid: int) -> int:
    """Bytes of memory that a process and its living descendants hold; of pages they share, a share each."""
    return sum(_proportional_bytes(each) for each in tree(pid))


def writes(pid: int) -> int:
    """How many times a process alone has called ``write``, on sockets among others."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("syscw:"))


def tree(pid: int) -> list[int]:
    """The process and its living descendants."""
    found = [pid]
    for each in found:  # grows while it is read
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found


def allow_connections() -> None:
    """Let this process, and those it starts, hold as many sockets as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _proportional_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith("Pss:"))
    return int(kilobytes) * 1024
