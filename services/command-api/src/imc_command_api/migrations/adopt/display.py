"""Shows how far a run is: a bar on a terminal, otherwise a line of the log from time to time."""

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Generator
from typing import Any, cast

import tqdm
from imc_service.logs import get_logger

logger = get_logger("adoption")

_SECONDS_A_LINE = 10.0


class Display:
    """Writes to standard error."""

    @contextlib.contextmanager
    def of(self, task: str, first: int, last: int) -> Generator[Callable[[int], None]]:
        """Show a task that goes from one ``id`` to another; yields what is to be told the id reached."""
        total = max(last - first, 0)
        if not sys.stderr.isatty():
            yield _Lines(task, first, total).reached
            return
        make = cast("Callable[..., Any]", tqdm.tqdm)
        # Not tqdm's own look at the terminal, which shows nothing on one that does not tell its size.
        width = shutil.get_terminal_size().columns
        with make(desc=task, total=total, unit=" ids", ncols=width) as bar:
            yield lambda id_: bar.update(max(id_ - first - bar.n, 0))


class _Lines:
    def __init__(self, task: str, first: int, total: int) -> None:
        self._task = task
        self._first = first
        self._total = total
        self._begun = self._told = time.monotonic()

    def reached(self, id_: int) -> None:
        now = time.monotonic()
        if now - self._told < _SECONDS_A_LINE:
            return
        self._told = now
        share = (id_ - self._first) / self._total if self._total else 1.0
        left = round((now - self._begun) * (1 - share) / share) if share > 0 else None
        logger.info(self._task, percent=round(100 * share, 1), seconds_left=left)
