"""What an error of the database means.

- `StoreUnavailable`: the database has a fault, or is busy. The same statement can succeed later. Its values
  are good.
- `WriteConflict`, one of these: another transaction changed the same rows. This one can be repeated at once.
- `StatementRefused`: the database does not take these values. With the kind `Refusal.UNKNOWN` the error is
  not classified here: check whether the database works at all.

Errors of MySQL's protocol are classified by their number and, for numbers not listed here, by the class of
their SQLSTATE (ISO/IEC 9075-2, 24.1; https://mariadb.com/kb/en/mariadb-error-codes/). The classes of pymysql
do not help: its OperationalError may be a lost connection or a violated constraint.
"""

import asyncio
import re
import sqlite3
from enum import Enum

import pymysql.err

MOST_CHARACTERS = 300
_OF_SERVERS = 1000
_OF_CLIENTS = range(2000, 3000)
"""Numbers of errors that the client raises without an answer of the server."""


class Refusal(Enum):
    """Why values are refused: few kinds, so that they can be labels of a metric."""

    CHECK = "check"
    TRIGGER = "trigger"
    DUPLICATE = "duplicate"
    REFERENCE = "reference"
    DATA = "data"
    UNKNOWN = "unknown"


class StoreUnavailable(Exception):
    """The database can't do this now. The message is what it says."""


class WriteConflict(StoreUnavailable):
    """Another transaction changed the same rows, and this one was undone. It can be repeated at once."""


class StatementRefused(Exception):
    """The database does not take these values. The message is what it says."""

    def __init__(self, message: str, kind: Refusal) -> None:
        super().__init__(message)
        self.kind = kind


_REFUSALS = {
    **dict.fromkeys((3819, 4025), Refusal.CHECK),
    1644: Refusal.TRIGGER,  # SIGNAL without a number of its own
    **dict.fromkeys((1022, 1062, 1169, 1586, 1859), Refusal.DUPLICATE),
    **dict.fromkeys((1216, 1217, 1451, 1452), Refusal.REFERENCE),
    # Truncated, out of range, of another character set, no partition for it, too large, a generated column.
    **dict.fromkeys((1118, 1265, 1366, 1411, 1525, 1526, 1748, 1906, 3105), Refusal.DATA),
}
_REFUSING_STATES = {"22": Refusal.DATA, "23": Refusal.DATA, "44": Refusal.CHECK, "45": Refusal.TRIGGER}
_UNAVAILABLE_STATES = {"08", "0A", "25", "28", "3D", "40", "42", "70", "XA"}
"""Connection, feature, transaction state, login, no database, rolled back, access or names, interrupted."""

_CONFLICTS = {
    # A deadlock, which is also what Galera says if another node was faster, be it at COMMIT; a lock waited
    # for too long; a row that changed since it was read; a member of a MySQL group was faster.
    *(1213, 1205, 1020, 3101),
    # TiDB: another transaction wrote the same keys.
    *(8002, 8022, 9007),
}
_UNAVAILABLE = {
    # Accounts and limits: connections, shutdown, privileges, passwords that expired, resources of a user.
    *(1040, 1041, 1042, 1043, 1053, 1077, 1079, 1129, 1130, 1135, 1184, 1203, 1226, 1227, 1698, 1820, 1862),
    *(1927, 3118, 4031, 4151),
    # Read-only: the server, the transaction, InnoDB, a table.
    *(1015, 1036, 1290, 1792, 1836, 1874, 1881),
    # Disk, memory, the binary log (1665: a statement-based one does not allow READ COMMITTED).
    *(1003, 1004, 1021, 1023, 1024, 1026, 1030, 1037, 1038, 1114, 1180, 1181, 1196, 1197, 1598, 1665),
    # Locks, deadlocks, deadlines, changes under way.
    *(1099, 1100, 1206, 1207, 1223, 1297, 1317, 1412, 1689, 1969, 3024, 3058, 3572),
    # Tables that are missing, altered, broken or views; triggers without their definer.
    *(1016, 1017, 1033, 1034, 1035, 1052, 1136, 1146, 1194, 1195, 1267, 1288, 1305, 1356, 1364, 1449, 1471),
    *(1712, 1812, 1813, 1814, 1932),
    # Settings of the session that the server refuses, or fails with later.
    *(1115, 1175, 1193, 1231, 1238, 1273, 1286, 1568),
    # TiDB: schema changed, storage out of reach or busy.
    *(8027, 8028, 9001, 9002, 9003, 9004, 9005, 9006),
}
_SQLITE_REFUSALS = {
    "SQLITE_CONSTRAINT_CHECK": Refusal.CHECK,
    "SQLITE_CONSTRAINT_TRIGGER": Refusal.TRIGGER,
    "SQLITE_CONSTRAINT_UNIQUE": Refusal.DUPLICATE,
    "SQLITE_CONSTRAINT_PRIMARYKEY": Refusal.DUPLICATE,
    "SQLITE_CONSTRAINT_FOREIGNKEY": Refusal.REFERENCE,
}

ERRORS = (pymysql.err.Error, pymysql.err.Warning, sqlite3.Error, OSError, asyncio.IncompleteReadError)
"""What the drivers raise when a statement or its connection fails."""

# Errors such as a duplicate entry or a wrong value quote the value, which ends at these words.
_QUOTED_VALUE = re.compile(r"'.*'(?= for | at (?:row|line) )|'.*'$", re.DOTALL)
_QUOTING = {1062, 1064, 1292, 1366, 1367, 1411, 1525, 1526, 1586, 1690, 1859}


def meaning_of(error: BaseException) -> StoreUnavailable | StatementRefused:
    """What one of `ERRORS` means. The message is the database's, without the values that it quotes."""
    if isinstance(error, pymysql.err.Warning):
        return StatementRefused(_plain(f"warning: {_without_values(str(error))}"), Refusal.DATA)
    if isinstance(error, sqlite3.Error):
        return _meaning_of_sqlite(error)
    if isinstance(error, pymysql.err.Error) and len(error.args) > 1:
        number, text = error.args[:2]
        if number >= _OF_SERVERS and number not in _OF_CLIENTS:
            return _meaning_of_mysql(number, getattr(error, "sqlstate", None) or "", str(text))
        return StoreUnavailable(_out_of_reach(error, f"{number} {text}"))
    if isinstance(error, pymysql.err.Error):
        return StoreUnavailable(_plain(str(error)))
    return StoreUnavailable(_out_of_reach(error, ""))


def is_certain(error: BaseException) -> bool:
    """Whether ``error`` is a refusal of values or a conflict, after which the connection can be used."""
    if not isinstance(error, ERRORS):
        return False
    meaning = meaning_of(error)
    if isinstance(meaning, StatementRefused):
        return meaning.kind is not Refusal.UNKNOWN
    return isinstance(meaning, WriteConflict)


def _meaning_of_mysql(number: int, state: str, text: str) -> StoreUnavailable | StatementRefused:
    words = _plain(f"{number} {_without_values(text) if number in _QUOTING else text}")
    if number in _CONFLICTS:
        return WriteConflict(words)
    if number in _UNAVAILABLE:
        return StoreUnavailable(words)
    if (kind := _REFUSALS.get(number) or _REFUSING_STATES.get(state[:2])) is not None:
        return StatementRefused(words, kind)
    if state[:2] in _UNAVAILABLE_STATES:
        return StoreUnavailable(words)
    return StatementRefused(words, Refusal.UNKNOWN)


def _meaning_of_sqlite(error: sqlite3.Error) -> StoreUnavailable | StatementRefused:
    name = getattr(error, "sqlite_errorname", "")
    words = _plain(f"{name} {error}".strip())
    if isinstance(error, (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError)):
        return StatementRefused(words, _SQLITE_REFUSALS.get(name, Refusal.DATA))
    return StoreUnavailable(words)


def _out_of_reach(error: BaseException, words: str) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionError) and error.errno is None:
        return _plain(str(error) or type(error).__name__)  # raised here, about a server that was reached
    # The message of aiomysql names the host. Its cause says why the host can't be reached.
    causes = [str(cause) or type(cause).__name__ for cause in (error.__cause__,) if cause is not None]
    told = words or str(error) or type(error).__name__
    return _plain(f"out of reach ({': '.join([told, *causes])})")


def _without_values(words: str) -> str:
    return _QUOTED_VALUE.sub("'…'", words, count=1)


def _plain(words: str) -> str:
    """One line of bounded length."""
    return " ".join(words.split())[:MOST_CHARACTERS]
