"""A writer that goes on while servers fail, and knows what was acknowledged to it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable

from imc_testkit.waiting import wait_until

_PAUSE_SECONDS = 0.01


class Writer:
    """Writes 1, 2, 3 and so on, one after the other.

    ``write`` writes a number; ``was_not_run`` tells of an exception whether the number certainly was not
    written.
    """

    def __init__(
        self, write: Callable[[int], Awaitable[object]], was_not_run: Callable[[BaseException], bool]
    ) -> None:
        self._write = write
        self._was_not_run = was_not_run
        self._is_over = False
        self.acknowledged: list[int] = []
        self.unknown: list[int] = []
        """The numbers that may have been written: each at most once, since none is tried again."""
        self.refused: list[Exception] = []

    async def run(self) -> None:
        """Write until `end`."""
        number = 0
        while not self._is_over:
            number += 1
            try:
                await self._write(number)
            except Exception as error:
                if self._was_not_run(error):
                    self.refused.append(error)
                else:
                    self.unknown.append(number)
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                self.acknowledged.append(number)

    def end(self) -> None:
        """Write no more."""
        self._is_over = True

    async def more(self, count: int = 20) -> None:
        """Wait until more are acknowledged."""
        goal = len(self.acknowledged) + count
        await wait_until(lambda: len(self.acknowledged) >= goal, what=f"{count} more to be acknowledged")

    def assert_written(self, found: list[int]) -> None:
        """Assert that what was acknowledged was written once, in order; what is unknown at most once."""
        unknown = set(self.unknown)
        assert len(found) == len(set(found)), "something was written twice"
        assert [number for number in found if number not in unknown] == self.acknowledged


@contextlib.asynccontextmanager
async def writing(
    write: Callable[[int], Awaitable[object]], was_not_run: Callable[[BaseException], bool]
) -> AsyncGenerator[Writer]:
    """A `Writer` at work: some writes are acknowledged before and after what is done meanwhile."""
    writer = Writer(write, was_not_run)
    task = asyncio.create_task(writer.run())
    try:
        await writer.more()
        yield writer
        await writer.more()
    finally:
        writer.end()
        await task
