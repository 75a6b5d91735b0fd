"""A long history in the real tables, made by the database itself, and what it holds, told without looking.

One app, three messages a millisecond, a hundredth of them recalled. Two fifths of all messages are in one
group; the others are spread over groups and users of very different sizes.
"""

import hashlib
from dataclasses import dataclass

from imc_contracts.schema import GROUPS, MESSAGES
from imc_testkit import databases
from imc_testkit.processes import run_script

APP = "bench"
LONG_GROUP = "long"
START_MS = 1_700_000_000_000
_EPOCH_MS = 1_557_825_652_094
_TIME_SHIFT = 22
ROWS_A_GROUP = 1_000
ROWS_A_USER = 100
ROWS_A_STATEMENT = 1_000_000
"""Each is a transaction: what it takes to undo one is bounded."""

_FILL = f"""
    INSERT INTO {MESSAGES} (
        message_id, app_id, group_id, user_id, content,
        create_time, recall_time, recall_cause, status, type, log_id, last_log_id
    )
    SELECT
        (ms - {_EPOCH_MS} << {_TIME_SHIFT}) + n % 3,
        '{APP}',
        IF(n % 5 < 2, '{LONG_GROUP}', CONCAT('group-', FLOOR(POW(CRC32(n) / 4294967296e0, 3) * {{groups}}))),
        CONCAT('user-', FLOOR(POW(CRC32(-n) / 4294967296e0, 2) * {{users}})),
        IF(n % 100 = 0, '', RPAD(CONCAT(n, ' '), 20 + n * 7919 % 160, 'lorem ipsum ')),
        ms,
        IF(n % 100 = 0, ms + 1000, 0),
        NULL,
        n % 100 > 0,
        NULL,
        LOWER(CONCAT(LPAD(HEX(ms), 11, '0'), LPAD(HEX(n % 3), 9, '0'))),
        LOWER(CONCAT(LPAD(HEX(ms + (n % 100 = 0) * 1000), 11, '0'), LPAD(HEX(n % 3), 9, '0')))
    FROM (SELECT seq AS n, {START_MS} + seq DIV 3 AS ms FROM seq_{{first}}_to_{{last}}) AS numbers
"""  # noqa: S608 - names and numbers of our own
_COUNT = f"""
    INSERT INTO {GROUPS} (app_id, group_id, message_total, newest_message_id, newest_create_time)
    SELECT app_id, group_id, COUNT(*), MAX(message_id), MAX(create_time)
    FROM {MESSAGES} FORCE INDEX (imc_message_group)
    GROUP BY app_id, group_id
"""  # noqa: S608 - names of our own
_INDEXES = f"""
    SELECT index_name, GROUP_CONCAT(column_name ORDER BY seq_in_index)
    FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND table_name = '{MESSAGES}' AND index_name <> 'PRIMARY'
    GROUP BY index_name
"""  # noqa: S608 - names of our own
_COMPLETE = "bench_complete"


@dataclass(frozen=True)
class History:
    """A database whose tables hold ``rows`` messages."""

    url: str
    rows: int

    @property
    def long_total(self) -> int:
        """How many messages the long group has."""
        return self.rows // 5 * 2 + min(1, self.rows % 5)

    def long_ids(self, begin: int, end: int) -> list[str]:
        """The ids of the long group's messages from place ``begin`` to before ``end``, counted from 0."""
        return [self.long_id(place) for place in range(max(0, begin), min(end, self.long_total))]

    def long_id(self, place: int) -> str:
        """The id of the message at this place in the long group, counted from 0."""
        number = (place + 1) // 2 * 5 + (place + 1) % 2
        return str((START_MS + number // 3 - _EPOCH_MS << _TIME_SHIFT) + number % 3)

    @property
    def groups(self) -> int:
        """How many other groups there may be: ``group-0`` and so on, the first of them the largest."""
        return max(1, self.rows // ROWS_A_GROUP)

    @property
    def users(self) -> int:
        """How many users there may be: ``user-0`` and so on, the first of them the busiest."""
        return max(1, self.rows // ROWS_A_USER)


async def history(server_url: str, rows: int) -> History:
    """The history of so many rows on this server; it is made unless there is one in the tables of today."""
    async with databases.new_database(server_url) as url:
        await _migrate(url)
        text = "\n".join([_FILL, _COUNT, *await definition(url)])
    name = f"history_{rows}_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    found = History(server_url.rpartition("/")[0] + f"/{name}", rows)
    others = await databases.run(server_url, f"SHOW DATABASES LIKE 'history\\_{rows}\\_%'")
    if (name,) in others and await databases.run(found.url, f"SHOW TABLES LIKE '{_COMPLETE}'"):
        return found
    for (other,) in others:
        await databases.run(server_url, f"DROP DATABASE {other}")
    await databases.run(server_url, f"CREATE DATABASE {name} CHARACTER SET latin1")
    await _migrate(found.url)
    await _fill(found)
    return found


async def warm(history: History) -> None:
    """Bring the tables into memory, as those of a server in use are."""
    await databases.run(history.url, f"SELECT SUM(LENGTH(content)) FROM {MESSAGES}")  # noqa: S608
    for index, _ in await databases.run(history.url, _INDEXES):
        await databases.run(
            history.url,
            f"SELECT COUNT(*) FROM {MESSAGES} FORCE INDEX ({index})",  # noqa: S608
        )


async def definition(url: str) -> list[str]:
    """What the two tables are made of; the order in which indexes were added means nothing."""
    made = [await databases.run(url, f"SHOW CREATE TABLE {table}") for table in (MESSAGES, GROUPS)]
    return sorted(line.strip(" ,") for [(_, text)] in made for line in text.splitlines())


async def _migrate(url: str) -> None:
    await run_script("imc-migrate", {"IMC_DATABASE_URL": url})


async def _fill(history: History) -> None:
    """Rows in the order of their key, then each index at once: row by row it would take far longer."""
    indexes = await databases.run(history.url, _INDEXES)
    dropped = ", ".join(f"DROP INDEX {index}" for index, _ in indexes)
    added = ", ".join(f"ADD INDEX {index} ({columns})" for index, columns in indexes)
    await databases.run(
        history.url,
        f"ALTER TABLE {MESSAGES} {dropped}",
        *(_part(history, first) for first in range(1, history.rows + 1, ROWS_A_STATEMENT)),
        f"ALTER TABLE {MESSAGES} {added}",
        _COUNT,
        f"ANALYZE TABLE {MESSAGES}, {GROUPS}",
        f"CREATE TABLE {_COMPLETE} (done INT)",
    )


def _part(history: History, first: int) -> str:
    last = min(first + ROWS_A_STATEMENT - 1, history.rows)
    return _FILL.format(first=first, last=last, groups=history.groups, users=history.users)
