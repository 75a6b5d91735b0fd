"""The minimum work of a relay: copies each chunk of one publisher to all listeners.

It uses blocking sockets and one write per listener and chunk, and handles no errors. A connection that begins
with a GET request is a listener. Any other connection is the publisher: it sends chunks, each preceded by its
length in four bytes.
"""

import os
import socket
from typing import BinaryIO, cast

_ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
_HEAD_BYTES = 65536


def serve(port: int) -> None:
    """Serve until killed. One publisher at a time."""
    listeners: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", port), backlog=4096) as server:
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if connection.recv(4, socket.MSG_PEEK) == b"GET ":
                connection.recv(_HEAD_BYTES)
                connection.sendall(_ACCEPTED)
                listeners.append(connection)
            else:
                with connection, connection.makefile("rb", _HEAD_BYTES) as publisher:
                    relay(cast(BinaryIO, publisher), listeners)


def relay(publisher: BinaryIO, listeners: list[socket.socket]) -> None:
    """Copy chunks until the publisher closes, then close all listeners."""
    while length := publisher.read(4):
        chunk = publisher.read(int.from_bytes(length))
        for listener in listeners:
            listener.sendall(chunk)
    for listener in listeners:
        listener.close()
    listeners.clear()


if __name__ == "__main__":
    serve(int(os.environ["PORT"]))
