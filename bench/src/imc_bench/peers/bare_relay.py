"""The least that a relay can do: what one connection sends is written to every other, as it is read.

No frames, no order of its own, no fault that it survives: blocking sockets, one write a listener. What
connects with a GET that begins with ``/listen`` listens; what connects otherwise is read from.
"""

import os
import socket

CHUNK_BYTES = 262_144
_ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def serve(port: int) -> None:
    """Serve until killed. One publisher at a time."""
    listeners: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", port), backlog=4096) as server:
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            head = connection.recv(CHUNK_BYTES)
            if head.startswith(b"GET /listen"):
                connection.sendall(_ACCEPTED)
                listeners.append(connection)
            else:
                relay(head, connection, listeners)


def relay(chunk: bytes, publisher: socket.socket, listeners: list[socket.socket]) -> None:
    """Write ``chunk``, and on what comes until the publisher hangs up; then let all go."""
    while chunk:
        for listener in listeners:
            listener.sendall(chunk)
        chunk = publisher.recv(CHUNK_BYTES)
    for listener in listeners:
        listener.close()
    listeners.clear()
    publisher.close()


if __name__ == "__main__":
    serve(int(os.environ["PORT"]))
