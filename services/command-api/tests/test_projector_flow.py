"""From the log into the database: everything, once, and counted."""

import asyncio
from typing import Any

import httpx
import pytest
from imc_command_api.projector.settings import ProjectorSettings
from imc_command_api.store.projection import Projection
from imc_contracts import names
from imc_service.settings import SettingsError, load
from imc_testkit.processes import Process
from imc_testkit.servers import PrivateRedis
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

GROUP = names.PROJECTOR_GROUP


@pytest.fixture
def shown(tables_of: Any, mariadb: Any) -> Any:
    """The tables that the projectors write."""
    return tables_of(mariadb)


def value(registry: CollectorRegistry, name: str) -> float:
    found = registry.get_sample_value(name)
    assert found is not None, name
    return found


async def test_everything_in_the_log_comes_into_the_tables(
    projecting: Any, feed: Any, history: Any, shown: Any
):
    messages = [history.message(f"g{n % 3}", content=f"\0'{n}\U0001f600") for n in range(2500)]
    gone, notice = history.message(content="secret"), history.notice()
    await feed.append([history.sent(message) for message in messages])
    async with projecting() as registry:
        await feed.append([history.sent(gone), history.published(notice)])
        await feed.append([history.recalled(gone), history.deleted(notice)])
        await feed.projected()
        assert value(registry, "imc_projector_entries_total") == 2504
        await wait_until(lambda: value(registry, "imc_projector_lag_entries") == 0)
    stored = await shown.messages(history.app_id)
    assert [row["content"] for row in stored[:-1]] == [message["content"] for message in messages]
    assert (stored[-1]["content"], stored[-1]["status"]) == ("", 0)
    assert [row["status"] for row in await shown.notices(history.app_id)] == [0]
    ids = [entry_id for entry_id, _ in await feed.redis.xrange(names.log(history.app_id))]
    assert len({row["log_id"] for row in stored}) == len(stored) == len(ids) - 3
    assert sum(total for total, _, _ in (await shown.groups(history.app_id)).values()) == 2501
    assert await feed.pending() == 0


async def test_an_app_that_is_new_is_found(
    projecting: Any, log_redis: Redis, feed_of: Any, history_of: Any, app_id: str, shown: Any
):
    async with projecting():
        for number in range(2):
            history = history_of(f"{app_id}-{number}")
            feed = feed_of(log_redis, history.app_id)
            await feed.append([history.sent(history.message())])
            await feed.projected()
            assert await shown.count(history.app_id) == 1


async def test_a_log_that_can_not_be_read_stops_no_other(
    projecting: Any, feed: Any, history: Any, log_redis: Redis
):
    await log_redis.sadd(names.APPS, "broken")  # pyright: ignore[reportGeneralTypeIssues]
    await log_redis.set(names.log("broken"), "no stream")
    async with projecting():
        await feed.append([history.sent(history.message())])
        await feed.projected()


async def test_an_entry_seen_twice_is_counted_once(
    projecting: Any, feed: Any, history: Any, shown: Any, log_redis: Redis, mariadb: Any
):
    """A projector died after COMMIT and before it acknowledged."""
    entries = [history.sent(history.message()) for _ in range(30)]
    await feed.append(entries)
    await log_redis.xgroup_create(names.log(history.app_id), GROUP, "0")
    await log_redis.xreadgroup(GROUP, "dead", {names.log(history.app_id): ">"}, count=20)
    await Projection(mariadb).apply(entries[:20])
    async with projecting(claim_idle_seconds=0.2) as registry:
        await feed.projected()
        assert value(registry, "imc_projector_taken_over_total") == 20
    assert (await shown.groups(history.app_id))["g"][0] == 30
    assert await feed.counters() == (30, 30)


async def test_an_entry_is_counted_when_it_is_acknowledged_and_never_again(
    log_group: Any, feed: Any, history: Any, log_redis: Redis
):
    ids = await feed.append([history.sent(history.message()) for _ in range(9000)])
    await log_group.acknowledge({history.app_id: ids}, {})
    assert await feed.counters() == (9000, 0), "there is no group yet"
    key = names.log(history.app_id)
    await log_redis.xgroup_create(key, GROUP, "0")
    await log_redis.xreadgroup(GROUP, "one", {key: ">"})
    for _ in range(2):
        await log_group.acknowledge({history.app_id: ids[:8500]}, {})
        assert await feed.counters() == (9000, 8500)
    await log_group.acknowledge({history.app_id: ids, "nobody": [b"1-1"]}, {})
    assert await feed.counters() == (9000, 9000)
    assert not await log_redis.exists(names.log_state("nobody")), "an app that was forgotten stays so"


async def test_what_others_left_is_looked_for_at_times_and_not_at_every_turn(
    projecting: Any, feed: Any, history: Any, log_redis: Redis
):
    """A look costs Redis a command for each app."""

    async def calls(command: str) -> int:
        stats: Any = await log_redis.info("commandstats")  # pyright: ignore[reportUnknownMemberType]
        return stats.get(f"cmdstat_{command}", {"calls": 0})["calls"]

    async with projecting(claim_idle_seconds=3600):
        await feed.append([history.sent(history.message())])
        await feed.projected()
        claims, reads = await calls("xautoclaim"), await calls("xreadgroup")

        async def has_turned_ten_times() -> bool:
            await feed.append([history.sent(history.message())])
            return await calls("xreadgroup") >= reads + 10

        await wait_until(has_turned_ten_times)
        assert await calls("xautoclaim") == claims


async def test_two_projectors_share_a_log_and_count_it_once(
    projecting: Any, feed: Any, history: Any, shown: Any
):
    async with projecting(claim_idle_seconds=0.1) as one, projecting(claim_idle_seconds=0.1) as other:

        async def both_took_part() -> bool:
            # Who gets an entry is for Redis to say: there is more until each has got some.
            await feed.append([history.sent(history.message(f"g{n % 4}")) for n in range(100)])
            return all(value(each, "imc_projector_entries_total") for each in (one, other))

        await wait_until(both_took_part, 60)
        await feed.projected()
    appended, projected = await feed.counters()
    assert appended == projected
    totals = await shown.groups(history.app_id)
    assert sum(total for total, _, _ in totals.values()) == await shown.count(history.app_id) == appended


async def test_the_process_serves_its_state_and_finishes_its_work_when_told_to_end(
    log_server: PrivateRedis, database_url: str, feed: Any, history: Any, shown: Any
):
    environment = {"IMC_REDIS_URL": log_server.url, "IMC_DATABASE_URL": database_url}
    async with Process("imc-projector", environment) as process:
        await process.ready()
        await feed.append([history.sent(history.message()) for _ in range(5000)])
        await wait_until(lambda: shown.count(history.app_id))
        async with httpx.AsyncClient(base_url=process.url, trust_env=False) as client:
            assert (await client.get("/livez")).status_code == 200
            assert "imc_projector_batch_seconds_count" in (await client.get("/metrics")).text
        assert await process.terminate() == 0
        stored = await shown.count(history.app_id)
        # What it had begun it has ended: nothing is left to be taken over, nothing is counted wrongly.
        assert await feed.pending() == 0
        assert await feed.counters() == (5000, stored)
        assert '"level": "error"' not in process.log


def test_settings_that_can_not_be_used_are_named():
    with pytest.raises(SettingsError) as error:
        load(ProjectorSettings, {"IMC_CLAIM_IDLE_SECONDS": "0"})
    for name in ("IMC_REDIS_URL", "IMC_DATABASE_URL", "IMC_CLAIM_IDLE_SECONDS"):
        assert name in str(error.value)


async def test_consumers_of_processes_that_are_gone_are_removed_unless_they_hold_work(
    log_group: Any, feed: Any, history: Any, log_redis: Redis
):
    key = names.log(history.app_id)
    await feed.append([history.sent(history.message())])
    await log_redis.xgroup_create(key, GROUP, "0")
    await log_redis.xreadgroup(GROUP, "holds", {key: ">"})
    await log_redis.xgroup_createconsumer(key, GROUP, "idle")
    assert await log_group.forget_consumers(history.app_id, 60_000) == 0
    await asyncio.sleep(0.01)  # idle time is what is measured here
    assert await log_group.forget_consumers(history.app_id, 1) == 1
    assert [consumer["name"] for consumer in await log_redis.xinfo_consumers(key, GROUP)] == [b"holds"]
    assert await log_group.forget_consumers("nobody", 1) == 0
