"""What the websockets library knows of a frame that is not complete, and does not say.

These are its inner parts: whoever raises the version of it looks here. tests/test_frame_parser.py holds them.
"""

from typing import Any

from websockets.protocol import Protocol
from websockets.streams import StreamReader


def unfinished_bytes(connection: Protocol) -> int:
    """How many bytes wait in the library for the rest of their frame."""
    return len(connection.reader.buffer)


def is_within_frame(connection: Protocol) -> bool:
    """Whether the parser waits for more of a frame, rather than for one to begin."""
    # The generator that it has stopped in tells.
    parser: Any = connection.parser
    while parser.gi_yieldfrom is not None:
        parser = parser.gi_yieldfrom
    return parser.gi_code is not StreamReader.at_eof.__code__


def forget_unfinished(connection: Protocol) -> None:
    """Free what waits; to be called once nothing more is parsed."""
    connection.reader.discard()
