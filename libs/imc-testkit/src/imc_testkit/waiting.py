"""Waiting for a condition: what tests do instead of sleeping."""

import asyncio
import inspect
import linecache
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")


@overload
async def wait_until(
    condition: Callable[[], Awaitable[T]], timeout: float = ..., interval: float = ..., *, what: str = ...
) -> T: ...


@overload
async def wait_until(
    condition: Callable[[], T], timeout: float = ..., interval: float = ..., *, what: str = ...
) -> T: ...


async def wait_until(
    condition: Callable[[], Any], timeout: float = 30.0, interval: float = 0.01, *, what: str = ""
) -> Any:
    """Ask ``condition`` (plain or async) every ``interval`` seconds until it is true; returns what it said.

    Raises `AssertionError` after ``timeout`` seconds: it says what was waited for (``what``, else the source
    line of the condition) and what the condition last said. What the condition raises passes at once.
    """
    last: Any = "no answer"
    deadline = asyncio.timeout(timeout)
    try:
        async with deadline:
            while True:
                answer = condition()
                last = await answer if inspect.isawaitable(answer) else answer
                if last:
                    return last
                await asyncio.sleep(interval)
    except TimeoutError:
        if not deadline.expired():
            raise
        subject = what or _source(condition)
        raise AssertionError(f"waited {timeout:g} s for {subject}; its last value was {last!r}") from None


def _source(condition: Callable[[], Any]) -> str:
    code = getattr(condition, "__code__", None)
    if code is None:
        return repr(condition)
    return linecache.getline(code.co_filename, code.co_firstlineno).strip() or code.co_qualname
