"""The processes of IMC, run as they are in production: by their console scripts, with an environment."""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from imc_testkit.child import STOP_SECONDS, Child, free_port
from imc_testkit.waiting import wait_until

__all__ = ["Process", "free_port"]

READY_PATH = "/readyz?exclude=write-through"
"""What orchestrators ask: command-api takes sends though the database is away, and says so on `/readyz`."""


class Process:
    """A console script of this environment as a process of its own. An async context manager::

        async with Process("imc-query-api", {"IMC_DATABASE_URL": database_url}) as query_api:
            await query_api.ready()
            ...

    It gets ``env``, PATH and, as IMC_PORT, ``port`` (a free one if none is given): no other variable.
    With a ``variant`` it runs patched: see `imc_testkit.variants`.
    Entering starts it; leaving ends it, and writes its log where pytest shows it if the test fails.
    """

    def __init__(
        self,
        script: str,
        env: Mapping[str, str],
        port: int | None = None,
        *,
        arguments: Sequence[str] = (),
        variant: str | None = None,
    ) -> None:
        self.script = script
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        environment = {"PATH": os.environ["PATH"], "IMC_PORT": str(self.port), **env}
        command = [str(Path(sys.executable).parent / script)]
        if variant is not None:
            command = [sys.executable, "-m", "imc_testkit.variants", variant, script]
        self._child = Child([*command, *arguments], environment)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stdout.write(self._told())
        await self._child.close()

    @property
    def log(self) -> str:
        """Everything it wrote so far, over all its starts."""
        return self._child.log

    @property
    def lines(self) -> list[str]:
        """The lines of its log, without one that it is still writing."""
        *whole, _ = self.log.split("\n")
        return whole

    @property
    def pid(self) -> int:
        """The process id of its newest start."""
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, or None while it runs."""
        return self._child.exit_code

    async def start(self) -> None:
        """Start it, or start it again after its end, on the same port."""
        self._child.spawn()

    async def ready(self, timeout: float = 60.0) -> None:
        """Wait until it says so, as it does to an orchestrator.

        Raises `AssertionError` with its log if it ends or is not ready in time.
        """
        answer = "no answer yet"

        async def is_ready() -> bool:
            nonlocal answer
            assert self.exit_code is None, f"it ended with {self.exit_code} before it was ready"
            try:
                reply = await client.get(READY_PATH)
            except httpx.TransportError as error:
                answer = type(error).__name__
                return False
            answer = f"{reply.status_code} {reply.text}"
            return reply.status_code == 200

        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=timeout) as client:
            try:
                await wait_until(is_ready, timeout, 0.02, what=f"{self.script} to be ready")
            except AssertionError as error:
                raise AssertionError(f"{error} (/readyz: {answer})\n{self._told()}") from None

    async def wait(self, timeout: float = STOP_SECONDS) -> int:
        """Wait for its end, at most ``timeout`` seconds; the exit code."""
        return await self._child.wait(timeout)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal and return at once."""
        self._child.send_signal(number)

    async def terminate(self, timeout: float = STOP_SECONDS) -> int:
        """SIGTERM, and wait for the end; the exit code."""
        self.send_signal(signal.SIGTERM)
        return await self.wait(timeout)

    async def kill(self) -> None:
        """SIGKILL: it gets no chance to put anything in order."""
        await self._child.kill()

    def pause(self) -> None:
        """SIGSTOP: it hangs, its connections stay open."""
        self._child.pause()

    def resume(self) -> None:
        """SIGCONT: it goes on."""
        self._child.resume()

    def _told(self) -> str:
        return f"--- log of {self.script} (port {self.port})\n{self.log}--- end of log\n"


async def run_script(script: str, env: Mapping[str, str], *, timeout: float = 60.0) -> str:
    """Run a console script to its end, such as ``imc-migrate``; what it wrote.

    Raises `AssertionError` with that if it fails.
    """
    async with Process(script, env) as process:
        code = await process.wait(timeout)
        assert code == 0, f"{script} ended with {code}:\n{process.log}"
        return process.log
