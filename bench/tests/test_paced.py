"""Tests the load generator with a fixed rate: number of requests, replies, and refusals."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count

import pytest
from imc_bench.http import callers, paced
from imc_bench.http.paced import Pace
from imc_bench.rows import InvalidRun


@asynccontextmanager
async def answering(*statuses: int) -> AsyncGenerator[str]:
    """A server that replies with these statuses in turn, over all connections."""
    numbers = count()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            number = next(numbers)
            status = statuses[number % len(statuses)]
            body = b"%d" % number
            head = b"HTTP/1.1 %d x\r\nContent-Length: %d\r\nX-Other: y\r\n\r\n" % (status, len(body))
            for part in (head[:20], head[20:], body):
                writer.write(part)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_requests_are_made_at_the_given_rate() -> None:
    request = callers.get("/x")
    async with answering(200, 429) as url:
        answers = await paced.call(url, Pace(4, 200), 0.25, lambda _: callers.endless([request]))
    assert answers.statuses == {200: 25, 429: 25}
    assert answers.accepted.count == 25
    bodies = [body for replies in answers.accepted.replies for body in replies]
    assert sorted(map(int, bodies)) == list(range(0, 50, 2))
    assert all(seconds > 0 for seconds in answers.accepted.all_latencies)
    assert answers.accepted.seconds > 0.2


async def test_an_unexpected_status_is_an_invalid_run() -> None:
    request = callers.get("/x")
    async with answering(200, 503) as url:
        with pytest.raises(InvalidRun, match="503"):
            await paced.call(url, Pace(2, 200), 0.1, lambda _: callers.endless([request]))
