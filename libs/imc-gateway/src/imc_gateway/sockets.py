"""Opens the WebSocket of a gateway."""

from collections.abc import Mapping

from websockets.asyncio.client import connect

OPEN_SECONDS = 10.0
CLOSE_SECONDS = 1.0
PONG_SECONDS = 30.0
"""A node that has many sends to forward stops reading for a while, pings included."""
MAX_FRAME_BYTES = 1_048_576


def opened(url: str, headers: Mapping[str, str]) -> connect:
    """A context manager that connects, and closes the connection. Raises as `websockets` does."""
    return connect(
        url,
        additional_headers=headers,
        compression=None,
        max_size=MAX_FRAME_BYTES,
        open_timeout=OPEN_SECONDS,
        close_timeout=CLOSE_SECONDS,
        ping_timeout=PONG_SECONDS,
    )
