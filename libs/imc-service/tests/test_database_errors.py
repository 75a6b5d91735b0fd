"""What errors of databases mean: who waits, what is refused, and which words are passed on."""

import sqlite3
import ssl

import pymysql.err
import pytest
from imc_service.database.errors import (
    Refusal,
    StatementRefused,
    StoreUnavailable,
    WriteConflict,
    is_certain,
    meaning_of,
)

WAIT = None


def mysql(number: int, state: str, text: str = "words") -> pymysql.err.Error:
    """As pymysql raises what a server answers."""
    packet = b"\xff" + number.to_bytes(2, "little") + b"#" + state.encode() + text.encode()
    with pytest.raises(pymysql.err.Error) as raised:
        pymysql.err.raise_mysql_exception(packet)
    return raised.value


@pytest.mark.parametrize(
    ("number", "state", "kind"),
    [
        # MariaDB and MySQL, where they differ.
        (4025, "23000", Refusal.CHECK),
        (3819, "HY000", Refusal.CHECK),
        (1369, "44000", Refusal.CHECK),
        (1644, "45000", Refusal.TRIGGER),
        (30001, "45000", Refusal.TRIGGER),
        (1062, "23000", Refusal.DUPLICATE),
        (1586, "23000", Refusal.DUPLICATE),
        (1452, "23000", Refusal.REFERENCE),
        (1216, "23000", Refusal.REFERENCE),
        (1366, "22007", Refusal.DATA),
        (1366, "HY000", Refusal.DATA),
        (1406, "22001", Refusal.DATA),
        (1264, "22003", Refusal.DATA),
        (1265, "01000", Refusal.DATA),
        (1048, "23000", Refusal.DATA),
        (1526, "HY000", Refusal.DATA),
        (1118, "42000", Refusal.DATA),
        (1906, "HY000", Refusal.DATA),
        (3105, "HY000", Refusal.DATA),
        (1105, "HY000", Refusal.UNKNOWN),
        (1442, "HY000", Refusal.UNKNOWN),
        *(
            (number, state, WAIT)
            for number, state in [
                *((1290, "HY000"), (1792, "25006"), (1836, "HY000"), (1874, "HY000")),
                *((1040, "08004"), (1045, "28000"), (1044, "42000"), (1049, "42000"), (1142, "42000")),
                *((1143, "42000"), (1129, "HY000"), (1130, "HY000"), (1203, "42000"), (1226, "42000")),
                *((1146, "42S02"), (1054, "42S22"), (1136, "21S01"), (1364, "HY000"), (1176, "42000")),
                *((1356, "HY000"), (1449, "HY000"), (1932, "42S02"), (1052, "23000"), (1046, "3D000")),
                *((1021, "HY000"), (1114, "HY000"), (1026, "HY000"), (1030, "HY000"), (1665, "HY000")),
                *((1205, "HY000"), (1213, "40001"), (1317, "70100"), (1412, "HY000"), (1969, "70100")),
                *((1153, "08S01"), (1193, "HY000"), (1053, "08S01"), (1927, "70100"), (1047, "08S01")),
                *((9007, "HY000"), (8028, "HY000"), (9002, "HY000"), (1820, "HY000"), (4031, "HY000")),
            ]
        ),
    ],
)
def test_what_a_number_means(number: int, state: str, kind: Refusal | None) -> None:
    meaning = meaning_of(mysql(number, state))
    assert str(meaning) == f"{number} words"
    assert (meaning.kind if isinstance(meaning, StatementRefused) else WAIT) is kind


@pytest.mark.parametrize(
    ("number", "state", "is_conflict"),
    [
        *((number, "40001", True) for number in (1213, 1205, 3101)),
        *((number, "HY000", True) for number in (1020, 1205, 3101, 8002, 8022, 9007)),
        *((number, "HY000", False) for number in (1021, 1206, 1290, 1317, 1665, 1927, 8027, 8028, 9006)),
        # A Galera node that is not in step, and one that was told to stop.
        *((1047, "08S01", False), (1053, "08S01", False), (1317, "70100", False), (1180, "HY000", False)),
    ],
)
def test_a_conflict_is_told_from_a_fault(number: int, state: str, is_conflict: bool) -> None:
    error = mysql(number, state)
    meaning = meaning_of(error)
    assert isinstance(meaning, StoreUnavailable)
    assert isinstance(meaning, WriteConflict) == is_conflict
    # After a conflict the connection is as good as before; after a fault it is not used again.
    assert is_certain(error) == is_conflict


@pytest.mark.parametrize(
    ("number", "state", "text", "told"),
    [
        (1062, "23000", "Duplicate entry 'sec'ret-1' for key 'a'", "Duplicate entry '…' for key 'a'"),
        (
            1366,
            "22007",
            r"Incorrect string value: '\xF0secret' for column `d`.`t`.`c` at row 1",
            "Incorrect string value: '…' for column `d`.`t`.`c` at row 1",
        ),
        (
            1292,
            "22007",
            "Truncated incorrect INTEGER value: 'secret'",
            "Truncated incorrect INTEGER value: '…'",
        ),
        (1064, "42000", "error near 'secret' at line 1", "error near '…' at line 1"),
        (1644, "45000", "no\n  such\tluck", "no such luck"),
        (1146, "42S02", "Table 'd.t' doesn't exist", "Table 'd.t' doesn't exist"),
    ],
)
def test_values_that_the_words_quote_are_left_out(number: int, state: str, text: str, told: str) -> None:
    assert str(meaning_of(mysql(number, state, text))) == f"{number} {told}"


def test_long_words_are_cut() -> None:
    assert len(str(meaning_of(mysql(1644, "45000", "x" * 10_000)))) == 300


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (pymysql.err.OperationalError(2013, "Lost connection"), "out of reach (2013 Lost connection)"),
        (pymysql.err.InterfaceError(0, ""), "out of reach (0 )"),
        (pymysql.err.InternalError("a row of 16 MiB or more"), "a row of 16 MiB or more"),
        (TimeoutError(), "no answer in time"),
        (ConnectionError("the server offers no TLS"), "the server offers no TLS"),
        (ConnectionResetError(104, "reset"), "out of reach ([Errno 104] reset)"),
        (
            ssl.SSLError(1, "certificate verify failed"),
            f"out of reach ({ssl.SSLError(1, 'certificate verify failed')})",
        ),
    ],
)
def test_what_is_no_answer_of_a_server_is_waited_for(error: Exception, words: str) -> None:
    meaning = meaning_of(error)
    assert isinstance(meaning, StoreUnavailable)
    assert str(meaning) == words


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("INSERT INTO t (id, n) VALUES (2, 99)", Refusal.CHECK),
        ("INSERT INTO t (id, n) VALUES (2, 1)", Refusal.DUPLICATE),
        ("INSERT INTO t (id, n) VALUES (1, 2)", Refusal.DUPLICATE),
        ("INSERT INTO t (id, n) VALUES (3, 3)", Refusal.TRIGGER),
        ("INSERT INTO t (id, n) VALUES (4, NULL)", Refusal.DATA),
        ("INSERT INTO t (id, n) VALUES ('x', 4)", Refusal.DATA),
        ("INSERT INTO u (id) VALUES (1)", WAIT),
        ("INSERT INTO t (id, m) VALUES (1, 2)", WAIT),
    ],
)
def test_what_sqlite_says(statement: str, kind: Refusal | None) -> None:
    with sqlite3.connect(":memory:") as connection:
        connection.executescript("""
            CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER NOT NULL UNIQUE CHECK (n < 9));
            INSERT INTO t (id, n) VALUES (1, 1);
            CREATE TRIGGER no_three BEFORE INSERT ON t WHEN new.n = 3
            BEGIN SELECT RAISE(ABORT, 'no such luck'); END;
        """)
        with pytest.raises(sqlite3.Error) as raised:
            connection.execute(statement)
    connection.close()
    meaning = meaning_of(raised.value)
    assert (meaning.kind if isinstance(meaning, StatementRefused) else WAIT) is kind
    assert kind is not Refusal.TRIGGER or "no such luck" in str(meaning)
