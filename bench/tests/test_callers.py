import asyncio
import contextlib
import itertools
import math
from collections.abc import AsyncGenerator

import pytest
from imc_bench.http import callers
from imc_bench.rows import InvalidRun


def reply(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


@contextlib.asynccontextmanager
async def server(*pieces: bytes) -> AsyncGenerator[tuple[str, list[bytes]]]:
    """Answer each line with ``pieces``, each in its own packet; close the connection if there are none."""
    asked: list[bytes] = []
    serving: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        while line := await reader.readline():
            asked.append(line)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.001)  # send it as a separate packet
            if not pieces:
                break
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", asked
        await asyncio.wait([task for task in serving if task is not None])


async def test_each_caller_sends_its_requests_one_after_the_other() -> None:
    async with server(reply(b"yes")) as (url, asked):
        calls = await callers.call(
            url, 3, math.inf, lambda caller: iter([b"%d first\n" % caller, b"%d second\n" % caller])
        )
    assert calls.replies == [[b"yes", b"yes"]] * 3
    assert calls.count == 6 == len(calls.all_latencies)
    for caller in range(3):
        own = [line for line in asked if line.startswith(b"%d " % caller)]
        assert own == [b"%d first\n" % caller, b"%d second\n" % caller]


async def test_a_reply_in_pieces_is_joined() -> None:
    whole = reply(b"a longer body")
    async with server(whole[:10], whole[10:40], whole[40:]) as (url, _):
        calls = await callers.call(url, 1, math.inf, lambda _: iter([b"one\n", b"two\n"]))
    assert calls.replies == [[b"a longer body", b"a longer body"]]


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_a_chunked_reply_is_joined() -> None:
    chunks = b"4\r\none,\r\n" + b"a;x=y\r\n\r\ntwo\r\nend\r\n" + b"0\r\n\r\n"
    async with server(CHUNKED + chunks) as (url, _):
        calls = await callers.call(url, 1, math.inf, lambda _: iter([b"one\n", b"two\n"]))
    assert calls.replies == [[b"one,\r\ntwo\r\nend"] * 2]


def test_a_chunked_reply_is_complete_only_at_its_end() -> None:
    whole = CHUNKED + b"10\r\n0123456789abcdef\r\n3\r\n\r\n0\r\n0\r\n\r\n"
    assert callers.body_of(whole) == b"0123456789abcdef\r\n0"
    assert [callers.body_of(whole[:end]) for end in range(len(whole))] == [None] * len(whole)


async def test_a_reply_without_a_length_is_an_invalid_run() -> None:
    async with server(b"HTTP/1.1 200 OK\r\n\r\nendless") as (url, _):
        with pytest.raises(InvalidRun, match="without a length"):
            await callers.call(url, 1, 1, lambda _: itertools.repeat(b"again\n"))


async def test_the_load_ends_after_its_time() -> None:
    async with server(reply(b"yes")) as (url, asked):
        calls = await callers.call(url, 2, 0.05, lambda _: itertools.repeat(b"again\n"))
    assert calls.count == len(asked) > 2
    assert 0.05 <= calls.seconds < 5


async def test_any_status_but_200_is_an_invalid_run() -> None:
    async with server(reply(b"no", b"503 Service Unavailable")) as (url, _):
        with pytest.raises(InvalidRun, match="503"):
            await callers.call(url, 1, 1, lambda _: itertools.repeat(b"again\n"))


async def test_a_closed_connection_is_an_invalid_run() -> None:
    async with server() as (url, _):
        with pytest.raises(InvalidRun, match="closed"):
            await callers.call(url, 1, 1, lambda _: itertools.repeat(b"again\n"))
