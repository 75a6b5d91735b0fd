"""Old rows are removed while processes and servers die: all that is due goes, and nothing else."""

import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from imc_contracts.cursor import EntryId
from imc_testkit import databases
from imc_testkit.checker import Report
from imc_testkit.deployment import Deployment, Start
from imc_testkit.load import Load
from imc_testkit.policies import FileOfApps, policies_text
from imc_testkit.servers import PrivateMariadb, PrivateRedis
from imc_testkit.waiting import wait_until

DAY_MS = 86_400_000
OLD_ROWS, OLD_GROUPS = 8_000, 4
NOTICES = 500
SEED_ROWS = """
INSERT INTO imc_message
    (message_id, app_id, group_id, user_id, content, create_time, log_id, last_log_id)
SELECT seq, '{app_id}', CONCAT('g', seq % {groups}), 'u', 'old', {ms} + seq, '{log_id}', '{log_id}'
FROM seq_1_to_{rows}
"""
SEED_NOTICES = """
INSERT INTO imc_notice
    (information_id, app_id, group_id, user_id, content, create_time, status, log_id, last_log_id)
SELECT seq, '{app_id}', CONCAT('n', seq % {groups}), 'u', 'old', {ms} + seq, seq % 2, '{log_id}', '{log_id}'
FROM seq_1_to_{notices}
"""
SEED_GROUPS = """
INSERT INTO imc_group (app_id, group_id, message_total, newest_message_id, newest_create_time)
SELECT app_id, group_id, COUNT(*), MAX(message_id), MAX(create_time)
FROM imc_message WHERE app_id = '{app_id}' AND content = 'old' GROUP BY app_id, group_id
ON DUPLICATE KEY UPDATE message_total = message_total + VALUES(message_total)
"""
Judge = Callable[..., Awaitable[Report]]


class OldRows:
    """Rows of before the run, of which all are due."""

    def __init__(self, database_url: str, app_id: str) -> None:
        self.app_id = app_id
        self._url = database_url
        self._aged = "0"

    async def insert(self) -> None:
        """Make messages in groups that are also written to now, and notices."""
        ms = int(time.time() * 1000) - 40 * DAY_MS
        values = {
            "app_id": self.app_id,
            "groups": OLD_GROUPS,
            "ms": ms,
            "rows": OLD_ROWS,
            "notices": NOTICES,
            "log_id": EntryId(ms, 0).column,
        }
        statements = (SEED_ROWS, SEED_NOTICES, SEED_GROUPS)
        await databases.run(self._url, *(each.format(**values) for each in statements))

    async def aged(self, load: Load) -> set[str]:
        """Let some messages of the load be as old; their ids."""
        own = [send for send in load.history.sends if send.app_id == self.app_id]
        ids = sorted(id_ for send in own for id_ in send.acknowledged_ids)
        aged = ids[: len(ids) // 2]
        await load.stores.stored(aged, 30)
        some = ", ".join(aged)
        await databases.run(
            self._url,
            f"UPDATE imc_message SET create_time = create_time - {40 * DAY_MS} "
            f"WHERE app_id = '{self.app_id}' AND message_id IN ({some})",
        )
        self._aged = some
        return set(aged)

    async def left(self) -> int:
        """How many are left; all while the database does not answer."""
        messages, notices = (
            f"SELECT COUNT(*) FROM {table} WHERE app_id = '{self.app_id}' AND (content = 'old'"
            for table in ("imc_message", "imc_notice")
        )
        counts = (f"{messages} OR message_id IN ({self._aged}))", f"{notices})")
        try:
            return sum([(await databases.run(self._url, count))[0][0] for count in counts])
        except databases.ERRORS:
            return OLD_ROWS + NOTICES

    async def going(self) -> None:
        """Wait until a sweep is in the middle of them."""

        async def is_in_the_middle() -> bool:
            return await self.left() < OLD_ROWS + NOTICES

        await wait_until(is_in_the_middle, interval=0.002)
        assert await self.left(), "rows are removed in small steps"

    async def gone(self) -> None:
        """Wait until all are gone."""

        async def are_gone() -> bool:
            return await self.left() == 0

        await wait_until(are_gone, 120, 0.1, what="all old rows to go")


@pytest.fixture
def file(tmp_path: Path) -> FileOfApps:
    return FileOfApps(tmp_path / "apps.toml")


@pytest.fixture
async def sweeping(
    small_on: Any, lone_redis: PrivateRedis, lone_database_url: str, file: FileOfApps
) -> AsyncGenerator[Deployment]:
    """An installation whose two projectors look for old rows each second."""
    # It rests between its steps: without that, a busy machine may see the first of them when all are over.
    sweeps = Start({"IMC_APPS_FILE": str(file.path), "IMC_SWEEP_SECONDS": "1", "IMC_SWEEP_SHARE": "0.2"})
    async with small_on(lone_redis.url, lone_database_url, projectors=(sweeps, sweeps)) as installation:
        yield installation


@contextlib.asynccontextmanager
async def killed(sweeping: Deployment) -> AsyncGenerator[None]:
    for projector in sweeping.projectors:
        await projector.kill()
    yield
    for projector in sweeping.projectors:
        await projector.start()


@contextlib.asynccontextmanager
async def hung(sweeping: Deployment) -> AsyncGenerator[None]:
    victim = sweeping.projectors[0]
    victim.pause()
    try:
        yield
    finally:
        victim.resume()


@pytest.mark.parametrize("fault", ["projectors killed", "a projector hangs", "database", "redis"])
async def test_all_that_is_due_goes_and_nothing_else(
    sweeping: Deployment,
    load_small: Any,
    judge: Judge,
    file: FileOfApps,
    lone_database_url: str,
    own_mariadb: PrivateMariadb,
    lone_redis: PrivateRedis,
    fault: str,
) -> None:
    async with load_small(sweeping, apps=2) as load:
        load.begin()
        await load.more(20)
        old = OldRows(lone_database_url, load.app_ids[0])
        await old.insert()
        file.write(policies_text({old.app_id: {"retention_days": 30}}))
        await old.going()
        await load.more(100)
        load.history.due |= await old.aged(load)
        await _bring_about(fault, load, sweeping, own_mariadb, lone_redis)
        await old.gone()
        report = await judge(load, 60)
        assert report.is_clean, report


async def _bring_about(
    fault: str, load: Load, sweeping: Deployment, mariadb: PrivateMariadb, redis: PrivateRedis
) -> None:
    match fault:
        case "projectors killed":
            async with killed(sweeping):
                await load.more(20)
        case "a projector hangs":
            # Its shards are taken over, and its transaction is undone by the server, while it hangs.
            async with hung(sweeping):
                await load.more(200)
        case "database":
            with load.database_outage():
                await mariadb.kill()
                await load.more(20)
                await mariadb.start()
        case _:
            await redis.kill()
            await redis.start()
            await load.more(20)
