"""What the kernel says of a connection; of a machine that is gone, see tests-e2e/faults/test_half_open.py."""

import asyncio
import fcntl
import socket
import struct
import termios
from asyncio.trsock import TransportSocket
from collections.abc import Generator
from typing import cast

import pytest
from imc_push_node.gateway import tcp
from imc_push_node.gateway.peer_socket import PeerSocket
from imc_testkit.waiting import wait_until


@pytest.fixture
def pair() -> Generator[tuple[socket.socket, TransportSocket]]:
    """A peer, and the node's connection to it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        connection, _ = listener.accept()
        with peer, connection:
            connection.setblocking(False)
            yield peer, cast(TransportSocket, connection)


async def test_what_a_machine_takes_is_acknowledged_though_nobody_reads(
    pair: tuple[socket.socket, TransportSocket],
) -> None:
    _peer, connection = pair
    cast(socket.socket, connection).send(b"x" * 1000)
    await wait_until(lambda: tcp.unacknowledged_bytes(connection) == 0)
    assert not tcp.is_unreachable(connection, 0), "nothing is on its way"


async def test_a_machine_that_is_full_is_there(pair: tuple[socket.socket, TransportSocket]) -> None:
    peer, connection = pair
    sent = 0
    with pytest.raises(BlockingIOError):
        while True:
            sent += cast(socket.socket, connection).send(b"x" * 100_000)
    # Until it has answered the first of the kernel's probes.
    await wait_until(lambda: not tcp.is_unreachable(connection, 0))
    waiting = tcp.unacknowledged_bytes(connection)
    assert 0 < waiting < sent
    peer.settimeout(10)
    while sent:
        sent -= len(peer.recv(sent))
    await wait_until(lambda: tcp.unacknowledged_bytes(connection) == 0)


async def test_a_socket_counts_as_taken_what_lies_at_its_peer(
    pair: tuple[socket.socket, TransportSocket],
) -> None:
    """Neither what waits in the process nor what waits in the kernel."""
    peer, connection = pair
    accepted = cast(socket.socket, connection)
    transport, gateway = await asyncio.get_running_loop().connect_accepted_socket(PeerSocket, accepted)

    def bytes_at_peer() -> int:
        return struct.unpack("i", fcntl.ioctl(peer, termios.FIONREAD, b"\0\0\0\0"))[0]

    try:
        gateway.transport = transport
        gateway.write(b"x" * 50_000_000)
        await wait_until(lambda: 0 < gateway.taken == bytes_at_peer())
        assert tcp.unacknowledged_bytes(connection) > 0
        assert transport.get_write_buffer_size() > 0
    finally:
        transport.abort()
        await wait_until(lambda: connection.fileno() == -1)
