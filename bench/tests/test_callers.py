import asyncio
import contextlib
import itertools
import math
from collections.abc import AsyncGenerator

import pytest
from imc_bench.http import callers
from imc_bench.rows import Faulty


def reply(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


@contextlib.asynccontextmanager
async def server(*pieces: bytes) -> AsyncGenerator[tuple[str, list[bytes]]]:
    """Answers each line with all of ``pieces``, each a packet of its own; hangs up if there are none."""
    asked: list[bytes] = []
    serving: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        while line := await reader.readline():
            asked.append(line)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.001)  # a packet of its own
            if not pieces:
                break
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", asked
        await asyncio.wait([task for task in serving if task is not None])


async def test_each_caller_makes_its_requests_one_after_the_other() -> None:
    async with server(reply(b"yes")) as (url, asked):
        calls = await callers.call(
            url, 3, math.inf, lambda caller: iter([b"%d first\n" % caller, b"%d second\n" % caller])
        )
    assert calls.replies == [[b"yes", b"yes"]] * 3
    assert calls.count == 6 == len(calls.all_latencies)
    for caller in range(3):
        own = [line for line in asked if line.startswith(b"%d " % caller)]
        assert own == [b"%d first\n" % caller, b"%d second\n" % caller]


async def test_a_reply_in_pieces_is_put_together() -> None:
    whole = reply(b"a longer body")
    async with server(whole[:10], whole[10:40], whole[40:]) as (url, _):
        calls = await callers.call(url, 1, math.inf, lambda _: iter([b"one\n", b"two\n"]))
    assert calls.replies == [[b"a longer body", b"a longer body"]]


async def test_the_load_ends_when_its_time_is_over() -> None:
    async with server(reply(b"yes")) as (url, asked):
        calls = await callers.call(url, 2, 0.05, lambda _: itertools.repeat(b"again\n"))
    assert calls.count == len(asked) > 2
    assert 0.05 <= calls.seconds < 5


async def test_any_reply_but_200_is_a_fault() -> None:
    async with server(reply(b"no", b"503 Service Unavailable")) as (url, _):
        with pytest.raises(Faulty, match="503"):
            await callers.call(url, 1, 1, lambda _: itertools.repeat(b"again\n"))


async def test_a_connection_that_ends_is_a_fault() -> None:
    async with server() as (url, _):
        with pytest.raises(Faulty, match="closed"):
            await callers.call(url, 1, 1, lambda _: itertools.repeat(b"again\n"))
