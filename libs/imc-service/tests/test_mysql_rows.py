"""Replies of MySQL's protocol: made by hand and cut anywhere, and those of MariaDB beside aiomysql's view."""

import asyncio
import struct
from collections.abc import AsyncGenerator
from typing import Any

import pymysql.err
import pytest
from imc_service.database._mysql_rows import ResultReader, fetch_rows
from imc_service.database.database import Database, StoreUnavailable, open_database
from imc_testkit import databases
from pymysql.constants import FIELD_TYPE

UTF8, BINARY = 45, 63
LENGTHS = (0, 1, 250, 251, 252, 255, 256, 65_535, 65_536, 300_000)


def sized(value: bytes | None) -> bytes:
    if value is None:
        return b"\xfb"
    size = len(value)
    if size < 251:
        return bytes([size]) + value
    return (
        b"\xfc" + struct.pack("<H", size) if size < 65_536 else b"\xfd" + struct.pack("<I", size)[:3]
    ) + value


def column(kind: int, charset: int = UTF8, name: bytes = b"c") -> bytes:
    names = b"".join(map(sized, (b"def", b"db", b"t", b"t", name, name)))
    return names + struct.pack("<BHIBHBxx", 12, charset, 255, kind, 0, 0)


def end(warnings: int = 0, status: int = 2) -> bytes:
    return struct.pack("<BHH", 0xFE, warnings, status)


def reply(*packets: bytes) -> bytes:
    return b"".join(
        struct.pack("<I", len(packet))[:3] + bytes([number % 256]) + packet
        for number, packet in enumerate(packets, 1)
    )


def table(columns: list[bytes], *rows: bytes, last: bytes | None = None) -> bytes:
    return reply(bytes([len(columns)]), *columns, end(), *rows, last or end())


COLUMNS = [column(FIELD_TYPE.LONGLONG), column(FIELD_TYPE.BLOB), column(FIELD_TYPE.BLOB, BINARY)]
ROWS = [
    (1, "", b""),
    (-(2**63), "NUL \0, emoji 🙂", b"\xff\0"),
    (None, None, None),
    *((size, "x" * size, b"\xfe" * size) for size in LENGTHS),
]


def encoded(row: tuple[Any, ...]) -> bytes:
    return b"".join(
        sized(value if value is None or isinstance(value, bytes) else str(value).encode()) for value in row
    )


TABLE = table(COLUMNS, *map(encoded, ROWS))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 4096, 65_536, 10**9])
def test_a_reply_may_come_in_any_pieces(size: int) -> None:
    whole = (
        TABLE if size > 5 else table(COLUMNS, b"\x015\x03\xc3\xa9!\xfb", b"\xfb\x00\x01\xff", last=end(3, 2))
    )
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    reader = ResultReader()
    assert [reader.feed(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert reader.rows == (ROWS if size > 5 else [(5, "é!", None), (None, "", b"\xff")])
    assert reader.warned == (size <= 5)
    assert reader.server_status == 2


def test_no_rows_is_a_reply_too() -> None:
    reader = ResultReader()
    assert reader.feed(table(COLUMNS))
    assert reader.rows == []


def test_an_error_may_come_before_the_columns_and_between_the_rows() -> None:
    error = b"\xff" + struct.pack("<H", 1317) + b"#70100Query execution was interrupted"
    for whole in (reply(error), table(COLUMNS, b"\x015\x00\x00", last=error)):
        with pytest.raises(pymysql.err.OperationalError, match="interrupted"):
            ResultReader().feed(whole)


def test_statements_with_as_many_columns_of_other_kinds_are_told_apart() -> None:
    row = b"\x015\x016"
    for kinds, expected in (
        ((FIELD_TYPE.LONG, FIELD_TYPE.BLOB), (5, "6")),
        ((FIELD_TYPE.BLOB, FIELD_TYPE.LONG), ("5", 6)),
        ((FIELD_TYPE.LONG, FIELD_TYPE.BLOB), (5, "6")),
    ):
        reader = ResultReader()
        assert reader.feed(table([column(kind) for kind in kinds], row))
        assert reader.rows == [expected]


def test_what_is_no_single_table_is_told_rather_than_misread() -> None:
    with pytest.raises(pymysql.err.InternalError, match="no rows"):
        ResultReader().feed(reply(b"\x00\x01\x00\x02\x00\x00\x00"))
    with pytest.raises(pymysql.err.InternalError, match="more than one"):
        ResultReader().feed(table(COLUMNS, last=end(0, 2 | 8)))
    with pytest.raises(pymysql.err.InternalError, match="16 MiB"):
        ResultReader().feed(table(COLUMNS)[:-9] + b"\xff\xff\xff\x09" + bytes(2**24))


@pytest.fixture
async def connection(database_server_url: str) -> AsyncGenerator[Any]:
    async with databases.connect(database_server_url) as connection:
        yield connection


KINDS = """
    SELECT 1, -1, CAST(18446744073709551615 AS UNSIGNED), 1.50, CAST(2.5 AS DOUBLE), NULL, TRUE, '', 'é🙂',
        CAST('a\\0b' AS BINARY), X'FF00', DATE '2026-11-23', TIME '-25:00:01',
        TIMESTAMP '2026-11-23 01:02:03.000004', COUNT(*), SUM(seq), MAX(seq), GROUP_CONCAT(seq),
        JSON_ARRAY(1, 'ü'), YEAR(NOW()) > 2000, REPEAT('x', 70000), _latin1 X'E9'
    FROM seq_1_to_9
"""


async def test_each_kind_of_value_is_what_aiomysql_makes_of_it(connection: Any) -> None:
    async with connection.cursor() as cursor:
        await cursor.execute(KINDS)
        expected = list(await cursor.fetchall())
    found = await fetch_rows(connection, KINDS)
    assert found == expected
    assert [type(value) for value in found[0]] == [type(value) for value in expected[0]]


async def test_warnings_are_raised_with_what_the_database_says(connection: Any) -> None:
    with pytest.raises(pymysql.err.Warning, match="12x"):
        await fetch_rows(connection, "SELECT CAST('12x' AS INTEGER)")
    assert await fetch_rows(connection, "SELECT 2") == [(2,)]


@pytest.fixture
async def database(empty_database_url: str) -> AsyncGenerator[Database]:
    async with open_database(empty_database_url, size=1, deadline=20) as database:
        yield database


LARGE = "SELECT seq, REPEAT('x', 2000) FROM seq_1_to_20000"


async def test_a_reply_of_many_megabytes_is_read_whole(database: Database) -> None:
    rows = await database.fetch_all(LARGE)
    assert [row[0] for row in rows] == list(range(1, 20_001))
    assert all(len(row[1]) == 2000 for row in rows)


async def test_a_large_reply_that_nobody_waits_for_any_more_answers_nobody_else(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = ResultReader.feed
    for pieces in (1, 2, 20):
        assert await database.fetch_all("SELECT 'connected'") == [("connected",)]
        reading = asyncio.create_task(database.fetch_all(LARGE))
        left = pieces

        def cut_off(reader: ResultReader, received: bytes, reading: asyncio.Task[Any] = reading) -> bool:
            nonlocal left
            is_whole = feed(reader, received)
            left -= 1
            if left == 0:
                assert not is_whole
                reading.cancel()
            return is_whole

        with monkeypatch.context() as patched:
            patched.setattr(ResultReader, "feed", cut_off)
            with pytest.raises(asyncio.CancelledError):
                await reading
        assert await database.fetch_all("SELECT 'next'") == [("next",)]


async def test_a_row_too_large_for_one_packet_costs_no_place(database: Database) -> None:
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await database.fetch_all("SELECT REPEAT('x', 16777215), 1")
        assert await database.fetch_all("SELECT 'next'") == [("next",)]
