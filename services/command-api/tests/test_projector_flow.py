"""From the log into the database: everything, once, and counted."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from imc_command_api.projector import logs as logs_module
from imc_command_api.projector import projector, quarantine, stretch
from imc_command_api.projector.ownership import Ownership
from imc_command_api.projector.settings import ProjectorSettings
from imc_command_api.projector.worker import CALM_SECONDS, Worker
from imc_command_api.projector.writer import StretchWriter
from imc_command_api.store.projection import Projection
from imc_contracts import names
from imc_contracts.cursor import EntryId
from imc_service import ticks
from imc_service.settings import SettingsError, load
from imc_testkit.processes import Process
from imc_testkit.servers import PrivateRedis
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis


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


@pytest.mark.parametrize("key", [names.log, names.log_state])
async def test_a_log_that_can_not_be_read_stops_no_other(
    projecting: Any, feed: Any, history: Any, log_redis: Redis, key: Callable[[str], str]
):
    await log_redis.zadd(names.pending(names.shard_of("broken")), {"broken": 1})
    await log_redis.set(key("broken"), "neither stream nor hash")
    async with projecting() as registry:
        await feed.append([history.sent(history.message())])
        await feed.projected()
        await wait_until(lambda: registry.get_sample_value("imc_projector_lag_seconds"))


async def test_an_app_with_which_something_unexpected_fails_stops_no_other(
    projecting: Any,
    feed: Any,
    feed_of: Any,
    history_of: Any,
    history: Any,
    log_redis: Redis,
    monkeypatch: Any,
):
    """It is set aside at once, and read again later."""
    read, places = stretch.understand, []

    def fails(app_id: str, entry_id: bytes, fields: dict[bytes, bytes]) -> stretch.LogEntry:
        if app_id == "fails":
            places.append(entry_id)
            raise RuntimeError("a bug")
        return read(app_id, entry_id, fields)

    monkeypatch.setattr(logs_module, "understand", fails)
    monkeypatch.setattr(quarantine, "REST_SECONDS", 1.0)
    bad, bad_history = feed_of(log_redis, "fails"), history_of("fails")
    async with projecting():
        await bad.append([bad_history.sent(bad_history.message())])
        await wait_until(lambda: places)
        await feed.append([history.sent(history.message()) for _ in range(3)])
        await feed.projected()
        seen = len(places)
        await wait_until(lambda: len(places) > seen)
        monkeypatch.setattr(logs_module, "understand", read)
        await bad.projected()


async def test_an_id_that_no_table_can_hold_stops_nothing(
    projecting: Any, feed: Any, feed_of: Any, history_of: Any, history: Any, log_redis: Redis, shown: Any
):
    """It was made by hand. What is there is dead-lettered; the others flow, of the same log too."""
    other_history = history_of(f"{history.app_id}-other")
    other = feed_of(log_redis, other_history.app_id)
    await feed.append([history.sent(history.message())])
    place = f"{10**13}-7"
    body = history.sent(history.message()).entry.body
    await log_redis.xadd(names.log(feed.app_id), {"k": "s", "v": body}, id=place)
    async with projecting():
        await feed.projected()
        await other.append([other_history.sent(other_history.message())])
        await other.projected()
    [letter] = await feed.dead_letters()
    assert (letter[b"id"], letter[b"reason"]) == (
        place.encode(),
        b"the entry has an id that no table can hold",
    )
    assert await shown.count(feed.app_id) == await shown.count(other.app_id) == 1


async def test_an_entry_seen_twice_is_counted_once(
    projecting: Any, feed: Any, history: Any, shown: Any, mariadb: Any
):
    """A projector died after COMMIT and before it moved the position."""
    entries = [history.sent(history.message()) for _ in range(30)]
    await feed.append(entries)
    await Projection(mariadb).apply(entries[:20])
    async with projecting():
        await feed.projected()
    assert (await shown.groups(history.app_id))["g"][0] == 30


async def test_the_database_knows_how_far_it_is(
    projecting: Any, feed: Any, history: Any, mariadb: Any, log_redis: Redis
):
    async with projecting():
        await feed.append([history.sent(history.message()) for _ in range(1500)])
        *_, last = await feed.append([history.recalled(history.message())])
        await feed.projected()
    rows = await mariadb.fetch_all(
        "SELECT epoch, position FROM imc_projection WHERE app_id = ?", (history.app_id,)
    )
    epoch: Any = await log_redis.hget(names.log_state(history.app_id), "epoch")  # pyright: ignore
    assert rows == [(epoch.decode(), EntryId.parse(last).column)]


async def test_nothing_is_asked_of_apps_that_have_nothing_new(
    projecting: Any, log_redis: Redis, feed_of: Any, history_of: Any, app_id: str
):
    """A look at the shards costs Redis the same for ten thousand apps as for none."""

    async def calls(*commands: str) -> int:
        stats: Any = await log_redis.info("commandstats")  # pyright: ignore[reportUnknownMemberType]
        return sum(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"] for command in commands)

    feeds = [feed_of(log_redis, f"{app_id}-{number}") for number in range(20)]
    async with projecting():
        for feed in feeds:
            history = history_of(feed.app_id)
            await feed.append([history.sent(history.message())])
        for feed in feeds:
            await feed.projected()
        await wait_until(lambda: _is_tidied(log_redis, feeds))
        before = await calls("xrange", "hmget", "xlen")
        looks = await calls("exists")

        async def has_looked_ten_times() -> bool:
            return await calls("exists") >= looks + 10

        await wait_until(has_looked_ten_times)
        assert await calls("xrange", "hmget", "xlen") == before


async def test_it_looks_less_often_while_it_finds_nothing(
    projecting: Any, feed: Any, history: Any, monkeypatch: pytest.MonkeyPatch
):
    pauses, pause = list[float](), Worker._pause  # pyright: ignore[reportPrivateUsage]

    async def noted(worker: Worker, seconds: float) -> None:
        pauses.append(seconds)
        await pause(worker, seconds)

    monkeypatch.setattr(Worker, "_pause", noted)
    shortest, longest = CALM_SECONDS
    async with projecting():
        for _ in range(2):
            await wait_until(lambda: longest in pauses)
            assert pauses == sorted(pauses)
            pauses.clear()
            await feed.append([history.sent(history.message())])
            await wait_until(lambda: shortest in pauses)
            del pauses[: pauses.index(shortest)]


async def test_it_pauses_before_it_asks_again_for_its_shards(
    projecting: Any, monkeypatch: pytest.MonkeyPatch
):
    pause, renew, pauses, renewals = ticks.pause, Ownership.renew, list[float](), 0

    def noted_pause(seconds: float) -> float:
        pauses.append(seconds)
        return pause(seconds)

    async def noted_renew(ownership: Ownership) -> bool:
        nonlocal renewals
        renewals += 1
        return await renew(ownership)

    own = (0.0123, 0.0321)
    for name, seconds in zip(("RENEW_SECONDS", "UNSETTLED_SECONDS"), own, strict=True):
        monkeypatch.setattr(projector, name, seconds)
    monkeypatch.setattr(ticks, "pause", noted_pause)
    monkeypatch.setattr(Ownership, "renew", noted_renew)
    async with projecting():
        await wait_until(lambda: renewals > 5)
        assert sum(seconds in own for seconds in pauses) >= renewals - 1


async def _is_tidied(redis: Redis, feeds: Any) -> bool:
    """Whether upkeep has looked at the new apps."""
    now = time.time() * 1000
    scores = [await redis.zscore(names.apps(names.shard_of(feed.app_id)), feed.app_id) for feed in feeds]
    return all(score and score > now + 10_000 for score in scores)


async def test_the_process_serves_its_state_and_finishes_its_work_when_told_to_end(
    log_server: PrivateRedis, database_url: str, feed: Any, history: Any, shown: Any, owned_by: Any
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
        # What it had begun it has ended: nothing is left to be done again, nothing is counted wrongly.
        assert await feed.waiting() == 5000 - stored
        # Its shards are free at once.
        assert await owned_by(feed.redis) == {}
        assert await feed.redis.zcard(names.PROJECTORS) == 0
        assert '"level": "error"' not in process.log


async def test_a_batch_that_was_begun_is_written_before_the_end(
    projecting: Any, feed: Any, history: Any, shown: Any, monkeypatch: pytest.MonkeyPatch
):
    write, finish, read = StretchWriter.write, Worker.finish, Worker._read  # pyright: ignore[reportPrivateUsage]
    begun, may_write, reads = asyncio.Event(), asyncio.Event(), 0

    async def noted_read(worker: Worker) -> Any:
        nonlocal reads
        found = await read(worker)
        reads += begun.is_set()
        return found

    async def write_when_it_may(writer: StretchWriter, stretches: Any) -> Any:
        begun.set()
        await may_write.wait()
        return await write(writer, stretches)

    async def let_write_at_the_end(worker: Worker, seconds: float) -> None:
        finishing = asyncio.create_task(finish(worker, seconds))
        await asyncio.sleep(0)
        may_write.set()
        await finishing

    monkeypatch.setattr(StretchWriter, "write", write_when_it_may)
    monkeypatch.setattr(Worker, "finish", let_write_at_the_end)
    monkeypatch.setattr(Worker, "_read", noted_read)
    async with projecting():
        await feed.append([history.sent(history.message())])
        await wait_until(lambda: reads, what="the projector to wait for what it writes")
    assert await shown.count(history.app_id) == 1
    assert await feed.waiting() == 0


def test_settings_that_can_not_be_used_are_named():
    with pytest.raises(SettingsError) as error:
        load(ProjectorSettings, {"IMC_LOG_RETENTION_ENTRIES": "0"})
    for name in ("IMC_REDIS_URL", "IMC_DATABASE_URL", "IMC_LOG_RETENTION_ENTRIES"):
        assert name in str(error.value)
