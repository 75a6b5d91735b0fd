"""Failpoints: a process gets a signal when it reaches a point for the n-th time, once over all its starts.

The environment configures them: ``FAILPOINT_MARK`` is a file that is created when the failpoint triggers,
``FAILPOINT_TIME`` is n (default 1), ``FAILPOINT_SIGNAL`` the signal (default SIGKILL).
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
    """The environment that configures a failpoint."""
    return {MARK: str(mark), TIME: str(time), SIGNAL: number.name}


class _Failpoint:
    """Sends a signal to this process, once."""

    def __init__(self) -> None:
        self._mark = Path(os.environ[MARK])
        self._time = int(os.environ.get(TIME, "1"))
        self._signal = signal.Signals[os.environ.get(SIGNAL, "SIGKILL")]
        self._times = itertools.count(1)

    def is_due(self) -> bool:
        """Count a visit of the point; return whether to trigger now."""
        return next(self._times) == self._time and not self._mark.exists()

    def trigger(self) -> None:
        """Send the signal to this process."""
        self._mark.touch()
        os.kill(os.getpid(), self._signal)

    def reach(self) -> None:
        """Count a visit, and trigger if it is due."""
        if self.is_due():
            self.trigger()


def _before(target: str) -> Callable[[], None]:
    def apply() -> None:
        failpoint = _Failpoint()

        def make(original: Any) -> Any:
            async def patched(*args: Any, **options: Any) -> Any:
                failpoint.reach()
                return await original(*args, **options)

            return patched

        replace(target, make)

    return apply


def _after(target: str) -> Callable[[], None]:
    """Trigger after a call whose result is not empty."""

    def apply() -> None:
        failpoint = _Failpoint()

        def make(original: Any) -> Any:
            async def patched(*args: Any, **options: Any) -> Any:
                result = await original(*args, **options)
                if result:
                    failpoint.reach()
                return result

            return patched

        replace(target, make)

    return apply


def _mid_transaction() -> None:
    failpoint = _Failpoint()

    def make(original: Any) -> Any:
        async def execute(self: Any, sql: str, *args: Any) -> Any:
            if sql == "COMMIT":
                failpoint.reach()
            return await original(self, sql, *args)

        return execute

    replace("imc_service.database.database:MysqlSession.execute", make)


def _mid_frame() -> None:
    failpoint = _Failpoint()

    def make(original: Any) -> Any:
        def enter(self: Any, group: Any) -> Any:
            write_all = original(self, group)

            def write(frames: bytes) -> None:
                if b'"code":2001' in frames and failpoint.is_due():
                    # Write to the socket directly: what the event loop buffers is lost with the process.
                    os.write(self.transport.get_extra_info("socket").fileno(), frames[: len(frames) // 2])
                    failpoint.trigger()
                write_all(frames)

            return write

        return enter

    replace("imc_push_node.gateway.broadcast_group:GroupMember.enter", make)


VARIANTS: dict[str, Callable[[], None]] = {
    # command-api: the log lacks the batch; the log has it, but no request was answered
    "fails-before-append": _before("imc_command_api.log.script:AppendScript.run"),
    "fails-after-append": _after("imc_command_api.log.script:AppendScript.run"),
    # projector
    "fails-after-reading": _after("imc_command_api.projector.logs:Logs.read"),
    "fails-before-commit": _mid_transaction,
    "fails-before-advancing": _before("imc_command_api.projector.logs:Logs.advance"),
    # projector, at an erasure: rows are found and not removed; the log is partly copied; it is replaced, and
    # that is not noted
    "fails-while-erasing-rows": _before("imc_command_api.store.erasures:Erasures.remove"),
    "fails-while-copying": _before("imc_command_api.erasure.streams:StreamEraser.step_log"),
    "fails-after-replacing": _before("imc_command_api.store.erasures:Erasures.note"),
    # push-node
    "fails-mid-frame": _mid_frame,
}
"""Variants by the point at which they fail."""
