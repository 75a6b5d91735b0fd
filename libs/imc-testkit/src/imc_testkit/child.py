"""A child process: started, stopped in every way that a fault test needs, and never left behind."""

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

from imc_testkit.waiting import wait_until

STOP_SECONDS = 30.0
_PR_SET_PDEATHSIG = 1


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on.

    It lies below the range that systems take outgoing connections from: one of those could otherwise sit on
    it while the server that owns it is restarted.
    """
    while True:
        port = 10_000 + secrets.randbelow(22_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Child:
    """A process of our own, ended by its id alone. What it writes is kept in `log`."""

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        self._arguments = list(arguments)
        self._env = dict(env)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """Everything written so far to standard output and standard error, over all starts."""
        descriptor = self._log.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")

    @property
    def pid(self) -> int:
        """Its process id; raises `RuntimeError` before the first start."""
        return self._started.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended (a negative number names the signal), or None while it runs."""
        return self._started.poll()

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self._arguments[0]} was not started")
        return self._process

    def spawn(self) -> None:
        """Start it. To be called from the main thread: on Linux it dies with the thread that started it."""
        self._process = subprocess.Popen(
            self._arguments,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            # A session of its own: a Ctrl-C at the terminal is for pytest, which then ends it in order.
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens if it has ended."""
        self._started.send_signal(number)

    async def wait(self, timeout: float = STOP_SECONDS) -> int:
        """Wait for its end, at most ``timeout`` seconds; the exit code."""
        name = os.path.basename(self._arguments[0])
        await wait_until(lambda: self.exit_code is not None, timeout, what=f"the end of {name}")
        return self._started.wait()

    async def kill(self) -> None:
        """SIGKILL: it gets no chance to put anything in order."""
        self.send_signal(signal.SIGKILL)
        await self.wait()

    def pause(self) -> None:
        """SIGSTOP: it hangs, its connections stay open. Returns when it does, or has ended."""
        self.send_signal(signal.SIGSTOP)
        # Its threads stop one by one: until the last does, it may still answer. An end is left to `poll`.
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """SIGCONT: it goes on."""
        self.send_signal(signal.SIGCONT)

    async def close(self) -> None:
        """End it and whatever it started in turn, and forget its log."""
        if self._process is not None:
            if self.exit_code is None:
                await self.kill()
            _kill_group(self.pid)
        self._log.close()


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return  # nobody of the group is left


def _die_with_parent() -> None:
    # pytest itself may be killed, by the time limit of a CI job say, and then cleans up nothing.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
