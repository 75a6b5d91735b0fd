"""What Redis alone takes of the append script: what command-api really sent it, recorded and played again."""

import asyncio
import contextlib
import math
import os
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, cast
from urllib.parse import urlsplit

import hiredis
from imc_contracts import names
from imc_testkit.processes import Process

from imc_bench import cores
from imc_bench.cpu import cpu_seconds
from imc_bench.http import callers, drafts, senders
from imc_bench.processes import PRODUCTION
from imc_bench.rows import Faulty

UNDER_WAY = 4
"""Commands written ahead of their replies, so that Redis never waits."""


def commands_in(data: bytes) -> Iterator[tuple[list[bytes], bytes]]:
    """The commands of a stream as clients of Redis write it: the words of each, and its bytes."""
    at = 0
    while at < len(data):
        begin, words = at, list[bytes]()
        end = data.index(b"\r\n", at)
        count, at = int(data[at + 1 : end]), end + 2
        for _ in range(count):
            end = data.index(b"\r\n", at)
            size, at = int(data[at + 1 : end]), end + 2
            words.append(data[at : at + size])
            at += size + 2
        yield words, data[begin:at]


async def record(redis_url: str, app_id: str, batches: int, size: int) -> list[bytes]:
    """The commands by which command-api appends so many batches of so many messages."""
    sent: list[bytearray] = []
    async with _tap(redis_url, sent) as url:
        # Sends have no use for a database.
        env = {**PRODUCTION, "IMC_REDIS_URL": url, "IMC_DATABASE_URL": "mysql://nobody@127.0.0.1:1/none"}
        async with Process("imc-command-api", env) as command_api:
            await command_api.ready()
            await callers.call(
                command_api.url,
                1,
                math.inf,
                lambda sender: islice(drafts.batches(app_id, senders.BATCH_PATH, sender, size), batches),
            )
    commands = [command for each in sent for command in commands_in(bytes(each))]
    scripts = (raw for words, raw in commands if words[0].upper() == b"EVALSHA" and len(words) > size)
    appends = list(dict.fromkeys(scripts))  # the first is sent again once its script is known
    if len(appends) != batches:
        raise Faulty(f"{batches} batches of {size} became {len(appends)} scripts")
    return appends


@contextlib.asynccontextmanager
async def _tap(redis_url: str, sent: list[bytearray]) -> AsyncGenerator[str]:
    """A way to Redis that keeps what clients write, of each connection by itself."""
    place = urlsplit(redis_url)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection(place.hostname, place.port)
        kept = bytearray()
        sent.append(kept)
        await asyncio.gather(_pass_on(reader, to_writer, kept), _pass_on(to_reader, writer, None))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray | None
) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            if kept is not None:
                kept += data
            writer.write(data)
            await writer.drain()
    writer.close()


class _Player(asyncio.Protocol):
    """Writes commands, some ahead of their replies."""

    def __init__(self, commands: Sequence[bytes]) -> None:
        self._commands = iter(commands)
        self._left = len(commands)
        self._replies = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.writelines(list(islice(self._commands, UNDER_WAY)))

    def data_received(self, data: bytes) -> None:
        """Some replies, whole or in part."""
        assert self._transport is not None
        self._replies.feed(data)
        while (reply := self._replies.gets()) is not False:
            self._left -= 1
            if not isinstance(reply, list) and not self.done.done():
                self.done.set_exception(Faulty(f"Redis answered {reply!r}"))
            if (command := next(self._commands, None)) is not None:
                self._transport.write(command)
        if self._left == 0 and not self.done.done():
            self.done.set_result(None)


async def play(
    redis: Any, pid: int, app_id: str, commands: Sequence[bytes], size: int
) -> Mapping[str, float]:
    """Run the recorded commands once on an empty Redis; messages a second, and its CPU. Raises `Faulty`."""
    await redis.flushall()
    place = redis.connection_pool.connection_kwargs
    loop = asyncio.get_running_loop()
    cores.pin(os.getpid(), cores.choose().server)  # Redis has the other core to itself
    try:
        begun, used = time.perf_counter(), cpu_seconds(pid)
        transport, player = await loop.create_connection(
            lambda: _Player(commands), place["host"], place["port"]
        )
        await player.done
        seconds, used = time.perf_counter() - begun, cpu_seconds(pid) - used
        transport.close()
    finally:
        cores.pin(os.getpid(), cores.choose().load)
    messages = len(commands) * size
    if (entries := await redis.xlen(names.log(app_id))) != messages:
        raise Faulty(f"{messages} messages were appended, {entries} are in the log")
    each = used / messages * 1e6
    return {"messages/s": messages / seconds, "a core each": 1e6 / each, "Redis": each}
