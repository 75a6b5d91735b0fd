"""Processes that die, or stop, when they reach a certain point the n-th time; once over all their starts.

Their environment says more: ``FAILPOINT_MARK`` is a file that is made when the point has been used,
``FAILPOINT_TIME`` says which time (1 if it is absent), ``FAILPOINT_SIGNAL`` by which signal (SIGKILL).
"""

import itertools
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from imc_testkit.variants.patching import replace

MARK, TIME, SIGNAL = "FAILPOINT_MARK", "FAILPOINT_TIME", "FAILPOINT_SIGNAL"


def failpoint(mark: Path, *, time: int = 1, number: signal.Signals = signal.SIGKILL) -> Mapping[str, str]:
    """The environment of a process with a failpoint."""
    return {MARK: str(mark), TIME: str(time), SIGNAL: number.name}


class _Fuse:
    """Burns once."""

    def __init__(self) -> None:
        self._mark = Path(os.environ[MARK])
        self._time = int(os.environ.get(TIME, "1"))
        self._signal = signal.Signals[os.environ.get(SIGNAL, "SIGKILL")]
        self._times = itertools.count(1)

    def is_due(self) -> bool:
        """Whether this is the time; to be asked each time that the point is reached."""
        return next(self._times) == self._time and not self._mark.exists()

    def burn(self) -> None:
        """Send the signal to this process."""
        self._mark.touch()
        os.kill(os.getpid(), self._signal)

    def reach(self) -> None:
        """Burn if it is due."""
        if self.is_due():
            self.burn()


def _before(target: str) -> Callable[[], None]:
    def apply() -> None:
        fuse = _Fuse()

        def make(original: Any) -> Any:
            async def patched(*args: Any, **options: Any) -> Any:
                fuse.reach()
                return await original(*args, **options)

            return patched

        replace(target, make)

    return apply


def _after(target: str) -> Callable[[], None]:
    """After a call that had a result which is not empty."""

    def apply() -> None:
        fuse = _Fuse()

        def make(original: Any) -> Any:
            async def patched(*args: Any, **options: Any) -> Any:
                result = await original(*args, **options)
                if result:
                    fuse.reach()
                return result

            return patched

        replace(target, make)

    return apply


def _mid_transaction() -> None:
    fuse = _Fuse()

    def make(original: Any) -> Any:
        async def execute(self: Any, sql: str, *args: Any) -> Any:
            if sql == "COMMIT":
                fuse.reach()
            return await original(self, sql, *args)

        return execute

    replace("imc_service.database:MysqlSession.execute", make)


def _mid_frame() -> None:
    fuse = _Fuse()

    def make(original: Any) -> Any:
        def enter(self: Any, lane: Any) -> Any:
            go_on = original(self, lane)

            def write(frames: bytes) -> None:
                if b'"code":2001' in frames and fuse.is_due():
                    # Straight to the kernel: what an event loop keeps for later dies with the process.
                    os.write(self.transport.get_extra_info("socket").fileno(), frames[: len(frames) // 2])
                    fuse.burn()
                go_on(frames)

            return write

        return enter

    replace("imc_push_node.lane:LaneMember.enter", make)


VARIANTS: dict[str, Callable[[], None]] = {
    # command-api: nobody knows of the batch; the log has it, but nobody was answered
    "fails-before-append": _before("imc_command_api.log.script:AppendScript.run"),
    "fails-after-append": _after("imc_command_api.log.script:AppendScript.run"),
    # projector
    "fails-after-reading": _after("imc_command_api.projector.reader:LogReader.read"),
    "fails-before-commit": _mid_transaction,
    "fails-before-acknowledging": _before("imc_command_api.projector.log_group:LogGroup.acknowledge"),
    # push-node
    "fails-mid-frame": _mid_frame,
}
"""By the point that they fail at."""
