"""Sweeps: what is due goes, nothing else does, and whoever asks meanwhile finds totals that are right."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Collection
from typing import Any

import pytest
from imc_command_api.projector import sweep as sweep_module
from imc_command_api.projector.metrics import ProjectorMetrics
from imc_command_api.projector.sweep import Sweeper
from imc_command_api.store.due_rows import BEGIN, DueRows, Kind
from imc_command_api.store.projection import Projection
from imc_command_api.store.removal import Removal
from imc_contracts import names
from imc_contracts.policies import Policies
from imc_service.database.database import Database, StoreUnavailable
from imc_service.redis.masters import Masters
from imc_service.retry import Backoff
from imc_testkit.policies import policies_of, policies_text
from imc_testkit.query_plans import PRIMARY, plan_of
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

DAY = 86_400_000
HOUR = 3_600_000
ALL = range(names.SHARDS)


def ago(days: float) -> int:
    """The time so many days ago, in Unix milliseconds."""
    return int(time.time() * 1000 - days * DAY)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps so small that a few rows take many."""
    monkeypatch.setattr(sweep_module, "ROWS_A_STEP", 3)
    monkeypatch.setattr(sweep_module, "GROUPS_A_STEP", 2)
    monkeypatch.setattr(sweep_module, "APPS_A_STEP", 2)


SweeperOf = Callable[..., Sweeper]


@pytest.fixture
def sweeper_of(database: Database, log_redis: Redis) -> SweeperOf:
    def sweeper_of(
        policies: Policies,
        owned: Callable[[], Collection[int]] = lambda: ALL,
        *,
        registry: CollectorRegistry | None = None,
        log_retention_ms: int = HOUR,
    ) -> Sweeper:
        return Sweeper(
            Masters(log_redis),
            DueRows(database),
            Removal(database),
            policies,
            owned,
            ProjectorMetrics(registry or CollectorRegistry()),
            every_seconds=1,
            share=1,
            log_retention_ms=log_retention_ms,
        )

    return sweeper_of


@pytest.fixture
def projection(database: Database) -> Projection:
    return Projection(database)


def keeping(app_id: str, **ages: Any) -> Policies:
    """Policies that remove something of one app."""
    return policies_of(policies_text({app_id: ages}))


async def assert_groups_fit(tables: Any, app_id: str) -> None:
    """The totals and the newest messages of groups are those of the rows."""
    rows = await tables.messages(app_id)
    expected: dict[str, tuple[int, int, int]] = {}
    for group_id in {row["group_id"] for row in rows}:
        mine = [(row["create_time"], row["message_id"]) for row in rows if row["group_id"] == group_id]
        newest_time, newest_id = max(mine)
        expected[group_id] = (len(mine), newest_id, newest_time)
    assert await tables.groups(app_id) == expected


async def test_what_is_over_the_age_goes_and_the_rest_stays(
    projection: Projection, sweeper_of: SweeperOf, tables: Any, history: Any
):
    chosen = random.Random(4)
    old, young = [], []
    for number in range(60):
        group = f"g{number % 7}"
        times = {"createTime": ago(chosen.uniform(30.001, 90))}
        old += [history.sent(history.message(group, content="old", **times))]
        old += [history.published(history.notice(group, content="old", **times))]
        times = {"createTime": ago(chosen.uniform(0, 29.999))}
        young += [history.sent(history.message(group, **times))]
        young += [history.published(history.notice(group, **times))]
    only_old = history.message("quiet", content="old", createTime=ago(31))
    deleted = [history.notice("g1", content="old", createTime=ago(40)) for _ in range(5)]
    recalled = history.message("g2", content="old", createTime=ago(50))
    entries = [*old, *young, history.sent(only_old), *map(history.published, deleted), history.sent(recalled)]
    chosen.shuffle(entries)
    await projection.apply([*entries, *map(history.deleted, deleted), history.recalled(recalled)])
    registry = CollectorRegistry()
    sweeper = sweeper_of(keeping(history.app_id, retention_days=30), registry=registry)
    assert await sweeper.sweep()
    for rows in (await tables.messages(history.app_id), await tables.notices(history.app_id)):
        assert len(rows) == 60
        assert {row["content"] for row in rows} <= {"hello", "hear, hear"}
    await assert_groups_fit(tables, history.app_id)
    assert "quiet" not in await tables.groups(history.app_id)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert value("imc_projector_removed_total", rows="messages") == 62
    assert value("imc_projector_removed_total", rows="notices") == 65
    assert value("imc_projector_removed_total", rows="groups") == 1
    assert 20 * 86_400 < (value("imc_projector_overdue_seconds") or 0) < 60 * 86_400
    assert value("imc_projector_last_sweep_timestamp_seconds")
    assert await sweeper.sweep()
    assert value("imc_projector_removed_total", rows="messages") == 62
    assert value("imc_projector_overdue_seconds") == 0


async def test_rows_count_by_their_time_whatever_their_ids_are(
    sweeper_of: SweeperOf, projection: Projection, tables: Any, database: Database, history: Any
):
    """Rows of the Java version may have any ids, and have no log id."""
    rows = [(1, ago(1)), (2, ago(31)), (2**62, ago(45)), (2**63 - 1, ago(0))]
    async with database.transaction() as session:
        for id_, created in rows:
            await session.execute(
                "INSERT INTO imc_message (message_id, app_id, group_id, user_id, content, create_time) "
                "VALUES (?, ?, 'g', 'u', 'old', ?)",
                (id_, history.app_id, created),
            )
        await session.execute("INSERT INTO imc_group VALUES (?, 'g', 4, ?, ?)", (history.app_id, *rows[-1]))
    await sweeper_of(keeping(history.app_id, retention_days=30)).sweep()
    assert [row["message_id"] for row in await tables.messages(history.app_id)] == [1, 2**63 - 1]
    await assert_groups_fit(tables, history.app_id)


async def test_an_abandoned_group_goes_with_all_that_is_in_it(
    projection: Projection, sweeper_of: SweeperOf, tables: Any, history: Any
):
    def message(group: str, days: float) -> Any:
        return history.sent(history.message(group, createTime=ago(days)))

    def notice(group: str, days: float) -> Any:
        return history.published(history.notice(group, createTime=ago(days)))

    late = history.notice("told of late and deleted", createTime=ago(9))
    await projection.apply(
        [
            *(message("abandoned", 10 + number) for number in range(8)),
            *(notice("abandoned", 20 + number) for number in range(4)),
            message("alive", 100),
            message("alive", 9),
            notice("alive", 100),
            message("told of late", 100),
            notice("told of late", 9),
            message("told of late and deleted", 100),
            history.published(late),
            history.deleted(late),
            notice("only notices", 11),
            notice("only young notices", 11),
            notice("only young notices", 9),
        ]
    )
    await sweeper_of(keeping(history.app_id, abandoned_group_days=10)).sweep()
    groups = {row["group_id"] for row in await tables.messages(history.app_id)}
    assert groups == {"alive", "told of late", "told of late and deleted"}
    assert {row["group_id"] for row in await tables.notices(history.app_id)} == {
        *groups,
        "only young notices",
    }
    assert await tables.count(history.app_id) == 4
    await assert_groups_fit(tables, history.app_id)


async def test_an_app_is_swept_by_the_owner_of_its_shard_and_by_its_own_ages(
    projection: Projection, sweeper_of: SweeperOf, tables: Any, app_id: str, history_of: Any
):
    histories = {name: history_of(f"{app_id}.{name}") for name in ("default", "short", "kept", "foreign")}
    for each in histories.values():
        await projection.apply([each.sent(each.message(createTime=ago(days))) for days in (40, 20, 0)])
    table = {
        histories["short"].app_id: {"retention_days": 10},
        histories["kept"].app_id: {"retention_days": "unlimited"},
    }
    policies = policies_of(policies_text(table, {"retention_days": 30}))
    foreign = names.shard_of(histories["foreign"].app_id)
    owned = {names.shard_of(each.app_id) for each in histories.values()} - {foreign}
    kept = {name: 3 for name in histories if names.shard_of(histories[name].app_id) == foreign}
    await sweeper_of(policies, lambda: owned).sweep()
    left = {name: await tables.count(each.app_id) for name, each in histories.items()}
    assert left == {"default": 2, "short": 1, "kept": 3, "foreign": 3} | kept


async def test_nothing_is_asked_for_if_nothing_is_declared(log_redis: Redis, sweeper_of: SweeperOf):
    await log_redis.aclose()
    assert await sweeper_of(Policies()).sweep()


async def test_ages_that_the_log_outlives_are_told_and_remove_nothing(
    projection: Projection, sweeper_of: SweeperOf, tables: Any, history: Any
):
    await projection.apply([history.sent(history.message(createTime=ago(40)))])
    policies = keeping(history.app_id, retention_days=1.5)
    sweeper = sweeper_of(policies, log_retention_ms=2 * DAY)
    assert await sweeper.sweep()
    words = sweeper.trouble()
    assert words is not None
    assert words.startswith(f"apps.{history.app_id}: nothing is removed, since logs keep entries for 2 days")
    assert "IMC_LOG_RETENTION_SECONDS" in words
    assert await tables.count(history.app_id) == 1
    policies.read(policies_text({history.app_id: {"retention_days": 2}}))
    await sweeper.sweep()
    assert (sweeper.trouble(), await tables.count(history.app_id)) == (None, 0)


async def test_a_clock_that_is_fast_removes_nothing(
    projection: Projection,
    sweeper_of: SweeperOf,
    tables: Any,
    history: Any,
    monkeypatch: pytest.MonkeyPatch,
):
    await projection.apply([history.sent(history.message(createTime=ago(1)))])
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 400 * DAY * 1_000_000)
    await sweeper_of(keeping(history.app_id, retention_days=30)).sweep()
    assert await tables.count(history.app_id) == 1


@pytest.mark.parametrize("change", ["the policy", "the owner"])
async def test_it_stops_when_it_may_go_on_no_longer(
    projection: Projection, sweeper_of: SweeperOf, tables: Any, history: Any, change: str
):
    await projection.apply([history.sent(history.message(createTime=ago(40))) for _ in range(30)])
    policies, owned = keeping(history.app_id, retention_days=30), set(ALL)
    sweeper = sweeper_of(policies, lambda: owned)
    remove = Removal.remove

    async def change_after_a_step(self: Removal, *given: Any, **named: Any) -> Any:
        removed = await remove(self, *given, **named)
        if change == "the policy":
            policies.read("")
        else:
            owned.clear()
        return removed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Removal, "remove", change_after_a_step)
        await sweeper.sweep()
    assert await tables.count(history.app_id) == 27
    await assert_groups_fit(tables, history.app_id)


async def test_a_sweep_that_is_broken_off_anywhere_is_completed_by_the_next(
    projection: Projection, sweeper_of: SweeperOf, tables: Any, history: Any
):
    chosen = random.Random(5)
    messages = [history.message(f"g{n % 4}", createTime=ago(chosen.uniform(0, 60))) for n in range(120)]
    await projection.apply([history.sent(message) for message in messages])
    policies = keeping(history.app_id, retention_days=30)
    due = [message for message in messages if message["createTime"] < ago(30)]
    left = len(messages)
    while left > len(messages) - len(due):
        sweeping = asyncio.create_task(sweeper_of(policies).sweep())
        # Somewhere: between statements, or while one is under way.
        for _ in range(chosen.randrange(200, 2000)):
            await asyncio.sleep(0)
        sweeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeping
        await assert_groups_fit(tables, history.app_id)
        now_left = await tables.count(history.app_id)
        if now_left == left:
            await sweeper_of(policies).sweep()
        left = await tables.count(history.app_id)
    assert left == len(messages) - len(due)


async def test_two_owners_for_a_moment_and_a_writer_do_no_harm(
    projection: Projection, sweeper_of: SweeperOf, tables: Any, history: Any
):
    old = [history.message(f"g{n % 5}", createTime=ago(40 + n / 100)) for n in range(150)]
    new = [history.message(f"g{n % 6}", createTime=ago(0)) for n in range(90)]
    await projection.apply([history.sent(message) for message in old])
    policies = keeping(history.app_id, retention_days=30)

    async def write() -> None:
        for start in range(0, len(new), 10):
            some = [history.sent(message) for message in new[start : start + 10]]
            await Backoff().retry(lambda: projection.apply(some), StoreUnavailable)  # noqa: B023

    await asyncio.gather(write(), sweeper_of(policies).sweep(), sweeper_of(policies).sweep())
    assert await tables.count(history.app_id) == len(new)
    await assert_groups_fit(tables, history.app_id)


async def test_an_entry_that_is_projected_late_goes_with_the_next_sweep(
    projection: Projection, sweeper_of: SweeperOf, tables: Any, history: Any
):
    message = history.message(createTime=ago(40))
    sent = history.sent(message)
    sweeper = sweeper_of(keeping(history.app_id, retention_days=30))
    for late in (sent, sent, history.recalled(message)):
        await projection.apply([late])
        await sweeper.sweep()
        assert await tables.count(history.app_id) == 0
        assert await tables.groups(history.app_id) == {}


async def test_what_the_database_refuses_is_told_until_it_is_mended(
    projection: Projection, sweeper_of: SweeperOf, tables: Any, database: Database, history: Any
):
    await projection.apply([history.sent(history.message(createTime=ago(40)))])
    refuse = (
        "BEGIN SELECT RAISE(ABORT, 'kept by hand'); END"
        if database.is_sqlite
        else "FOR EACH ROW SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1644, MESSAGE_TEXT = 'kept by hand'"
    )
    async with database.session() as session:
        await session.execute(f"CREATE TRIGGER keep_messages BEFORE DELETE ON imc_message {refuse}")
    sweeper = sweeper_of(keeping(history.app_id, retention_days=30))
    try:
        assert not await sweeper.sweep()
    finally:
        async with database.session() as session:
            await session.execute("DROP TRIGGER keep_messages")
    assert "kept by hand" in (sweeper.trouble() or "")
    assert await tables.count(history.app_id) == 1
    assert await sweeper.sweep()
    assert (sweeper.trouble(), await tables.count(history.app_id)) == (None, 0)


async def test_it_begins_by_itself_and_again(
    projection: Projection, sweeper_of: SweeperOf, tables: Any, history: Any
):
    async def is_empty() -> bool:
        return await tables.count(history.app_id) == 0

    sweeping = asyncio.create_task(sweeper_of(keeping(history.app_id, retention_days=30)).run())
    try:
        for _ in range(2):
            await projection.apply([history.sent(history.message(createTime=ago(40)))])
            await wait_until(is_empty)
    finally:
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)


@pytest.mark.parametrize("kind", Kind)
async def test_due_rows_are_found_in_an_index_and_nothing_is_sorted(
    projection: Projection, database: Database, history: Any, kind: Kind
):
    await projection.apply([history.sent(history.message(f"g{n % 9}")) for n in range(90)])
    await projection.apply([history.published(history.notice(f"g{n % 9}")) for n in range(90)])
    due_rows = DueRows(database)
    index = "imc_message_group" if kind is Kind.MESSAGE else "imc_notice_group"
    plan = await plan_of(database, due_rows.due_sql[kind], (history.app_id, "g1", 0, 9, *BEGIN, 3))
    [step] = plan.steps
    assert (step.index, step.seeks, step.covers, plan.sorts) == (index, True, True, False), plan
    ages = await plan_of(database, due_rows.ages_sql[kind], (history.app_id, "", 3))
    assert {step.index for step in ages.steps} <= {PRIMARY, "imc_message_group", "imc_notice_group"}, ages
    assert all(step.seeks for step in ages.steps), ages
    assert not ages.sorts, ages
