"""A gateway on websocket-client: sends each line of the input as a frame, and prints each frame received.

Usage: python gateway.py ADDRESS
"""

import json
import sys
import threading
from typing import Any

import websocket  # pyright: ignore[reportMissingImports]


def main(address: str) -> None:
    socket: Any = websocket.create_connection(address)
    threading.Thread(target=forward_input, args=(socket,), daemon=True).start()
    while frame := socket.recv():
        print_event(event="parsed", envelope=json.loads(frame))
    print_event(event="closed", code=1000)


def forward_input(socket: Any) -> None:
    for line in sys.stdin:
        socket.send(line)
    socket.send_close()


def print_event(**event: object) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


main(sys.argv[1])
