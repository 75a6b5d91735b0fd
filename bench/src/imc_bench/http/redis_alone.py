"""The throughput of the append script in Redis alone: records the commands of command-api, replays them."""

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
from imc_bench.rows import InvalidRun

PIPELINED = 4
"""How many commands are sent before their replies, so that Redis never waits."""


def commands_in(data: bytes) -> Iterator[tuple[list[bytes], bytes]]:
    """Yield the commands in a byte stream of the Redis protocol: the words of each, and its bytes."""
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
    """Record the commands with which command-api appends ``batches`` batches of ``size`` messages."""
    sent: list[bytearray] = []
    async with _tap(redis_url, sent) as url:
        # Sends need no database.
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
    log = names.log(app_id).encode()
    scripts = (raw for words, raw in commands if words[0].upper() == b"EVALSHA" and log in words)
    appends = list(dict.fromkeys(scripts))  # the first is sent again after the script is loaded
    if len(appends) != batches:
        raise InvalidRun(f"{batches} batches of {size} became {len(appends)} scripts")
    return appends


@contextlib.asynccontextmanager
async def _tap(redis_url: str, sent: list[bytearray]) -> AsyncGenerator[str]:
    """A proxy to Redis that records what clients write, for each connection separately."""
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
    """Sends pipelined commands."""

    def __init__(self, commands: Sequence[bytes]) -> None:
        self._commands = iter(commands)
        self._left = len(commands)
        self._replies = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first commands."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.writelines(list(islice(self._commands, PIPELINED)))

    def data_received(self, data: bytes) -> None:
        """Take replies, and send the next commands."""
        assert self._transport is not None
        self._replies.feed(data)
        while (reply := self._replies.gets()) is not False:
            self._left -= 1
            if not isinstance(reply, list) and not self.done.done():
                self.done.set_exception(InvalidRun(f"Redis answered {reply!r}"))
            if (command := next(self._commands, None)) is not None:
                self._transport.write(command)
        if self._left == 0 and not self.done.done():
            self.done.set_result(None)


async def play(
    redis: Any, pid: int, app_id: str, commands: Sequence[bytes], size: int
) -> Mapping[str, float]:
    """Run the recorded commands once on an empty Redis; return rates and CPU time. Raises `InvalidRun`."""
    await redis.flushall()
    place = redis.connection_pool.connection_kwargs
    loop = asyncio.get_running_loop()
    cores.pin(os.getpid(), cores.choose().server)  # Redis has the other core alone
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
        raise InvalidRun(f"{messages} messages were appended, {entries} are in the log")
    each = used / messages * 1e6
    return {"messages/s": messages / seconds, "a core each": 1e6 / each, "Redis": each}
