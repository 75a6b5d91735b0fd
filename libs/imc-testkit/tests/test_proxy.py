import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import AsyncGenerator

import pytest
from imc_testkit.proxy import TcpProxy, tcp_proxy
from imc_testkit.waiting import wait_until

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A server that answers each line with its name and the line."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.lines: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self.lines.append(line)
                writer.write(self.name + line)
        except ConnectionError:
            pass
        finally:
            writer.close()


async def reset_at_once(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reset the connection, as the kernel does to those of a process that was killed."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def test_a_reset_of_the_server_reaches_the_client() -> None:
    server = await asyncio.start_server(reset_at_once, "127.0.0.1", 0)
    async with tcp_proxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        writer.transport.abort()
    server.close()


@pytest.fixture
async def echoes() -> AsyncGenerator[list[Echo]]:
    echoes = [Echo(b"one "), Echo(b"two ")]
    servers = [await asyncio.start_server(echo.serve, "127.0.0.1", 0) for echo in echoes]
    for echo, server in zip(echoes, servers, strict=True):
        echo.port = server.sockets[0].getsockname()[1]
    yield echoes
    for server in servers:
        server.close()


@pytest.fixture
async def proxy(echoes: list[Echo]) -> AsyncGenerator[TcpProxy]:
    async with tcp_proxy("127.0.0.1", echoes[0].port) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy: TcpProxy) -> AsyncGenerator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    yield reader, writer
    writer.transport.abort()


async def ask(client: Connection, line: bytes, timeout: float = 5) -> bytes:
    client[1].write(line + b"\n")
    async with asyncio.timeout(timeout):
        return await client[0].readline()


async def test_data_passes_in_both_directions_until_the_end(client: Connection, proxy: TcpProxy):
    assert await ask(client, b"a") == b"one a\n"
    assert proxy.connections == 1
    client[1].write_eof()
    assert await client[0].read() == b""
    await wait_until(lambda: proxy.connections == 0)


async def test_cut_resets_connections_and_accepts_new_ones(client: Connection, proxy: TcpProxy):
    await ask(client, b"a")
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        await client[0].readline()
    again = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await ask(again, b"b") == b"one b\n"
    again[1].transport.abort()


async def test_connections_are_refused_until_accept(client: Connection, proxy: TcpProxy):
    await ask(client, b"a")
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)
    await proxy.accept()
    again = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await ask(again, b"b") == b"one b\n"
    again[1].transport.abort()


async def test_a_frozen_proxy_accepts_connections_and_passes_no_data(
    client: Connection, proxy: TcpProxy, echoes: list[Echo]
):
    await ask(client, b"a")
    proxy.freeze()
    late = await asyncio.open_connection("127.0.0.1", proxy.port)
    for each in (client, late):
        with pytest.raises(TimeoutError):
            await ask(each, b"b", timeout=0.1)
    assert echoes[0].lines == [b"a\n"]
    proxy.thaw()
    assert await client[0].readline() == await late[0].readline() == b"one b\n"
    late[1].transport.abort()


async def test_data_is_delayed_in_both_directions(client: Connection, proxy: TcpProxy):
    await ask(client, b"a")
    proxy.delay(0.1)
    began = time.monotonic()
    assert await ask(client, b"b") == b"one b\n"
    assert time.monotonic() - began >= 0.2
    proxy.delay(0)


async def test_swallowed_replies_are_lost_while_requests_pass(
    client: Connection, proxy: TcpProxy, echoes: list[Echo]
):
    proxy.swallow_replies()
    with pytest.raises(TimeoutError):
        await ask(client, b"a", timeout=0.1)
    assert echoes[0].lines == [b"a\n"]
    proxy.pass_replies()
    with pytest.raises(ConnectionResetError):
        await client[0].readline()


async def test_new_connections_lead_to_another_server(
    client: Connection, proxy: TcpProxy, echoes: list[Echo]
):
    await ask(client, b"a")
    proxy.lead_to("127.0.0.1", echoes[1].port)
    again = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await ask(again, b"b") == b"two b\n"
    again[1].transport.abort()


async def test_the_connection_ends_if_the_server_is_down(proxy: TcpProxy):
    proxy.lead_to("127.0.0.1", 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await reader.read() == b""
    writer.transport.abort()
