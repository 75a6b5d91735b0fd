"""A client program that a test talks to: it reads lines, and writes one JSON object a line."""

import asyncio
import json
import os
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Event = dict[str, Any]

ANSWER_SECONDS = 30.0


class Program:
    """A program in any language. An async context manager: leaving ends the program.

    An event of the programs here has the key ``event``: ``parsed`` (an envelope), ``closed`` or ``threw``.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._command = list(command)
        self._folder = folder
        self._environment = {**os.environ, **(environment or {})}

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=self._folder,
            env=self._environment,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            limit=1 << 20,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()

    async def write(self, line: object) -> None:
        """Write a value as one line of JSON."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line).encode() + b"\n")
        await self._process.stdin.drain()

    async def event(self) -> Event:
        """The next event. Raises `AssertionError` if the program ends or writes none in time."""
        assert self._process.stdout is not None
        async with asyncio.timeout(ANSWER_SECONDS):
            line = await self._process.stdout.readline()
        assert line, f"{self._command[0]} ended: {await self._errors()}"
        return json.loads(line)

    async def envelope(self) -> Event:
        """The envelope of the next event, which must be one that the client could parse."""
        event = await self.event()
        assert event["event"] == "parsed", event
        return event["envelope"]

    async def end(self) -> None:
        """End the input. The program must then close its connection and succeed."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        code, errors = await self.ended()
        assert code == 0, f"{self._command[0]} ended with {code}: {errors}"

    async def ended(self) -> tuple[int, str]:
        """Wait for the end of the program; its exit code and what it wrote to standard error."""
        async with asyncio.timeout(ANSWER_SECONDS):
            return await self._process.wait(), await self._errors()

    async def _errors(self) -> str:
        assert self._process.stderr is not None
        return (await self._process.stderr.read()).decode(errors="replace")
