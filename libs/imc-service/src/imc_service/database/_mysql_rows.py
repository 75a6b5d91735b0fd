"""The reply of MySQL's text protocol to a SELECT, read in one pass. For `_sessions` alone.

aiomysql awaits twice for each packet, which is one row, and calls four functions for each value. For a page
of 20 messages that is three quarters of all work. Here all bytes that were received are taken at once, and a
value is cut out and converted in one step.

A reply is a run of packets: the number of columns, one packet a column, an end, one packet a row, an end.
Each is 3 bytes of length and 1 of sequence, then that many bytes. A value is its length, then its bytes.
"""

import struct
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pymysql.converters
import pymysql.err
from pymysql.constants import FIELD_TYPE, SERVER_STATUS

from imc_service.database._drivers import read_reply

Row = tuple[Any, ...]
Convert = Callable[[bytes], Any]

_OK, _NULL, _END, _ERROR = 0x00, 0xFB, 0xFE, 0xFF
_LARGEST = 0xFFFFFF
_LEAST_NO_END = 9  # bytes: a packet of as many that begins like an end is something else
_LENGTH_BYTES = {0xFC: 2, 0xFD: 3, 0xFE: 8}
_NAMES_OF_A_COLUMN = 6
_BINARY = 63

_INTEGERS = {FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG}
_TEXTS = {
    *(FIELD_TYPE.VARCHAR, FIELD_TYPE.VAR_STRING, FIELD_TYPE.STRING, FIELD_TYPE.ENUM, FIELD_TYPE.SET),
    *(FIELD_TYPE.TINY_BLOB, FIELD_TYPE.MEDIUM_BLOB, FIELD_TYPE.LONG_BLOB, FIELD_TYPE.BLOB),
}


async def fetch_rows(connection: Any, sql: str) -> list[Row]:
    """All rows of ``sql``, run on a connection of aiomysql.

    Raises what aiomysql would; a warning of the database goes to `warnings`. After an error other than a
    refusal of the statement, the connection must be closed: the rest of the reply may still arrive.
    """
    result = await _run(connection, sql)
    if result.warned:
        for *_, message in (await _run(connection, "SHOW WARNINGS")).rows:
            warnings.warn(message, pymysql.err.Warning, stacklevel=2)
    return result.rows


async def _run(connection: Any, sql: str) -> "ResultReader":
    result = ResultReader()
    await read_reply(connection, sql, result)
    return result


class ResultReader:
    """Takes in the reply to one statement; no I/O."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.warned = False
        """Whether the statement made the database warn."""
        self.server_status = 0
        self._rest = b""
        self._converters: tuple[Convert, ...] | None = None

    def feed(self, received: bytes) -> bool:
        """Take in more of the reply; true once that was all of it.

        Raises `pymysql.err.Error`: the one that the database answers with, or that this is no such reply.
        """
        data = self._rest + received if self._rest else received
        offset = 0
        if self._converters is None:
            offset = _end_of_head(data)
            if offset:
                self._converters = _converters_of(data[:offset])
        if self._converters is not None:
            offset = _take_rows(data, offset, self._converters, self.rows)
            if self._ends(data, offset):
                return True
        self._rest = data[offset:]
        return False

    def _ends(self, data: bytes, offset: int) -> bool:
        """Whether the packet at ``offset``, which is no row or is not complete, is the end of the reply."""
        start = offset + 4
        size = int.from_bytes(data[offset : offset + 3], "little")
        if start >= len(data) or start + size > len(data):
            return False
        if data[start] == _ERROR:
            pymysql.err.raise_mysql_exception(data[start : start + size])
        if size >= _LEAST_NO_END:
            raise pymysql.err.InternalError("a row of 16 MiB or more")
        warned, self.server_status = struct.unpack_from("<HH", data, start + 1)
        self.warned = warned > 0
        if self.server_status & SERVER_STATUS.SERVER_MORE_RESULTS_EXISTS:
            raise pymysql.err.InternalError("the statement gives more than one result")
        return True


def _end_of_head(data: bytes) -> int:
    """Where what describes the columns ends in a reply; 0 if not all of that has come."""
    offset, known = 0, len(data)
    while (start := offset + 4) < known:
        size = data[offset] | data[offset + 1] << 8 | data[offset + 2] << 16
        end = start + size
        if end > known:
            break
        first = data[start]
        if first == _END and size < _LEAST_NO_END:
            return end
        if first == _ERROR:
            pymysql.err.raise_mysql_exception(data[start:end])
        if first == _OK and offset == 0:
            raise pymysql.err.InternalError("the statement gives no rows")
        offset = end
    return 0


def _take_rows(data: bytes, offset: int, converters: tuple[Convert, ...], rows: list[Row]) -> int:
    """Add the rows from ``offset`` on to ``rows``. Return the offset of the first packet after them.

    That packet is no row, or is not complete.
    One loop in one function: a page has some hundred values, and a call costs as much as a value.
    """
    known = len(data)
    while (at := offset + 4) < known:
        size = data[offset] | data[offset + 1] << 8 | data[offset + 2] << 16
        end = at + size
        if end > known or data[at] >= _END or size == _LARGEST:
            break
        row: list[Any] = []
        for convert in converters:
            size = data[at]
            start = at + 1
            if size < _NULL:
                at = start + size
                row.append(convert(data[start:at]))
            elif size == _NULL:
                at = start
                row.append(None)
            else:
                size, start = _long_size(data, at)
                at = start + size
                row.append(convert(data[start:at]))
        rows.append(tuple(row))
        offset = end
    return offset


def _long_size(data: bytes, at: int) -> tuple[int, int]:
    """A length whose first byte, at ``at``, says how many bytes hold it; and where the value begins."""
    end = at + 1 + _LENGTH_BYTES[data[at]]
    return int.from_bytes(data[at + 1 : end], "little"), end


@lru_cache(maxsize=512)
def _converters_of(head: bytes) -> tuple[Convert, ...]:
    """How to read the values of each column. A statement run again is described by the same bytes."""
    packets: list[bytes] = []
    offset = 0
    while offset < len(head):
        end = offset + 4 + int.from_bytes(head[offset : offset + 3], "little")
        packets.append(head[offset + 4 : end])
        offset = end
    _number, *columns, _end = packets
    return tuple(_converter(column) for column in columns)


def _converter(column: bytes) -> Convert:
    at = 0
    for _ in range(_NAMES_OF_A_COLUMN):
        size, start = (column[at], at + 1) if column[at] < _NULL else _long_size(column, at)
        at = start + size
    charset, kind = struct.unpack_from("<xHxxxxB", column, at)
    if kind in _INTEGERS:
        return int
    if kind in _TEXTS:
        return bytes if charset == _BINARY else bytes.decode
    convert = pymysql.converters.decoders.get(kind, str)
    return lambda value: convert(value.decode())
