"""A child process that tests can start, stop, kill and pause, and that never outlives them."""

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence

from imc_testkit.waiting import wait_until

STOP_SECONDS = 30.0
_PR_SET_PDEATHSIG = 1

SIDE_BY_SIDE = 8
"""How many workers of pytest-xdist have ports of their own."""

_returned: deque[int] = deque(maxlen=500)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on.

    The port is below the range of ephemeral ports. Otherwise an outgoing connection could take it while its
    server restarts. Test runs that work side by side have ports of their own, and none is returned twice
    soon: some time passes until a server listens on what it was given.
    """
    own = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % SIDE_BY_SIDE
    while True:
        port = 10_000 + SIDE_BY_SIDE * secrets.randbelow(22_000 // SIDE_BY_SIDE) + own
        if port in _returned:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _returned.append(port)
        return port


class Child:
    """A process that is signalled by its id only. Its output is kept in `log`.

    Once it has ended, its id stays its own until `close` or the next start. After that the system may give it
    to another process.
    """

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        self._arguments = list(arguments)
        self._env = dict(env)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """Standard output and standard error so far, of all starts."""
        descriptor = self._log.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")

    @property
    def pid(self) -> int:
        """The process id. Raises `RuntimeError` before the first start."""
        return self._started.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative if a signal ended the process; None while it runs."""
        process = self._started
        if process.returncode is not None:
            return process.returncode
        # `Popen.poll` would free the id.
        ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self._arguments[0]} was not started")
        return self._process

    def spawn(self, *more: str) -> None:
        """Start the process; ``more`` are arguments of this start alone.

        Call this from the main thread: on Linux the child dies with the thread.
        """
        if self._process is not None and self.exit_code is not None:
            self._process.wait()
        self._process = subprocess.Popen(
            [*self._arguments, *more],
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            # In its own session, so that Ctrl-C reaches only pytest, which then stops the child.
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal; do nothing if the process has ended."""
        if self.exit_code is None:
            os.kill(self.pid, number)

    async def wait(self, timeout: float = STOP_SECONDS) -> int:
        """Wait at most ``timeout`` seconds for the process to end; return the exit code."""
        name = os.path.basename(self._arguments[0])
        await wait_until(lambda: self.exit_code is not None, timeout, what=f"the end of {name}")
        assert self.exit_code is not None
        return self.exit_code

    async def kill(self) -> None:
        """Send SIGKILL and wait for the end: the process can't clean up."""
        self.send_signal(signal.SIGKILL)
        await self.wait()

    def pause(self) -> None:
        """Send SIGSTOP and return once the process has stopped or ended. Its connections stay open."""
        self.send_signal(signal.SIGSTOP)
        # Its threads stop one by one; until the last has stopped, it may still answer.
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Send SIGCONT: the process continues."""
        self.send_signal(signal.SIGCONT)

    async def close(self) -> None:
        """Kill the process and its children, and discard the log."""
        if self._process is not None:
            if self.exit_code is None:
                await self.kill()
            if self._process.returncode is None:
                _kill_group(self.pid)
                self._process.wait()
        self._log.close()


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return  # all processes of the group have ended


def _die_with_parent() -> None:
    # If pytest is killed, for example by the time limit of a CI job, it can't stop its children.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
