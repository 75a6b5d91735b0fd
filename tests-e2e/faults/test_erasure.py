"""Erasure in whole installations: no byte of what a user wrote is left, whatever is killed meanwhile."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from imc_contracts import names
from imc_testkit import databases
from imc_testkit.checker import Report
from imc_testkit.command import Imc
from imc_testkit.databases import new_database
from imc_testkit.deployment import Deployment, Start
from imc_testkit.gateway import Gateway, connect
from imc_testkit.processes import run_script
from imc_testkit.servers import PrivateMariadb, PrivateRedis
from imc_testkit.variants.failpoints import failpoint
from imc_testkit.waiting import wait_until
from redis.asyncio import Redis

Make = Callable[..., Any]
Judge = Callable[..., Awaitable[Report]]

SECRET = "what-nobody-may-read-again"
PUSHED = (2001, 2002, 2004, 2005, 2006)


class Caller:
    """Calls the first command-api of an installation."""

    def __init__(self, deployment: Deployment, http: httpx.AsyncClient, app_id: str) -> None:
        self.app_id = app_id
        self._deployment = deployment
        self._http = http

    async def post(self, path: str, **body: Any) -> Any:
        url = self._deployment.command_apis[0].url + path
        reply = await self._http.post(url, json={"appId": self.app_id, **body})
        assert reply.status_code == 200, reply.text
        return reply.json()["data"]

    async def send(self, user_id: str, content: str, group_id: str = "g", **more: Any) -> Any:
        body = {"groupId": group_id, "userId": user_id, "content": content, **more}
        return await self.post("/v1/commands/send-message", **body)

    async def report(self, erasure_id: str) -> dict[str, Any] | None:
        url = self._deployment.command_apis[0].url + "/v1/erasures"
        query = {"appId": self.app_id, "erasureId": erasure_id}
        reply = await self._http.get(url, params=query)
        found = reply.json()["data"]["erasures"] if reply.status_code == 200 else []
        return found[0] if found else None

    async def done(self, erasure_id: str) -> dict[str, Any]:
        async def find() -> dict[str, Any] | None:
            report = await self.report(erasure_id)
            return report if report and report["stage"] == "done" else None

        return await wait_until(find, 60, 0.1, what="the erasure to be done") or {}


@pytest.fixture
async def erased_database(own_mariadb: PrivateMariadb) -> Any:
    async with new_database(own_mariadb.url) as url:
        await run_script("imc-migrate", {"IMC_DATABASE_URL": url})
        yield url


async def bytes_of_rows(database_url: str) -> str:
    tables = [name for (name,) in await databases.run(database_url, "SHOW TABLES")]
    return repr([await databases.run(database_url, f"SELECT * FROM {name}") for name in tables])


async def bytes_of_files(redis: Redis, folder: Path) -> bytes:
    """What the append-only file holds after a rewrite."""
    await redis.config_set("rdbcompression", "no")
    await redis.bgrewriteaof()

    async def is_written() -> bool:
        info: Any = await redis.info("persistence")
        return not info["aof_rewrite_in_progress"] and not info["aof_rewrite_scheduled"]

    await wait_until(is_written, 30)
    return await asyncio.to_thread(_bytes_in, folder)


def _bytes_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def pushed(gateway: Gateway) -> list[tuple[int, str]]:
    """The code of each push, and who or what it is about."""
    return [
        (frame["code"], frame["data"].get("content") or frame["data"].get("erasureId", ""))
        for frame in gateway.frames
        if frame["code"] in PUSHED
    ]


async def test_no_byte_of_a_user_is_left(
    small_on: Make, lone_redis: PrivateRedis, erased_database: str, http: httpx.AsyncClient, app_id: str
) -> None:
    async with (
        small_on(lone_redis.url, erased_database, query_apis=(Start(),)) as deployment,
        Redis.from_url(lone_redis.url) as redis,
    ):
        caller, node = Caller(deployment, http, app_id), deployment.push_nodes[0].url
        imc = Imc({"IMC_URL": deployment.query_apis[0].url, "no_proxy": "127.0.0.1"})

        async def exported() -> str:
            return await asyncio.to_thread(imc, "export", "--app", app_id)

        first = await caller.send("bob", "words of bob 0")
        for number in range(20):
            await caller.send(
                "ann", f"{SECRET} {number}", "g" if number % 2 else "h", clientMessageId=f"a{number}"
            )
            await caller.send("bob", f"words of bob {number}")
        recalled = await caller.send("ann", SECRET)
        cause = {"messageId": recalled["messageId"], "recallCause": f"{SECRET} in the cause"}
        await caller.post("/v1/commands/recall-message", **cause)
        notice = {
            "groupId": "g",
            "userId": "ann",
            "title": SECRET,
            "content": SECRET,
            "clientMessageId": "n1",
        }
        await caller.post("/v1/commands/publish-notice", **notice)
        letter: Any = {"k": "s", "v": f'{{"userId":"ann","content":"{SECRET}"}}', "id": "1-1", "reason": "x"}
        await redis.xadd(names.dead_letters(app_id), letter)
        assert SECRET in await bytes_of_rows(erased_database)
        assert SECRET.encode() in await bytes_of_files(redis, lone_redis.folder)
        assert SECRET in await exported()
        async with connect(node, app_id, "live", first["cursor"], notices=True) as live:
            accepted = await caller.post("/v1/commands/erase-user", userId="ann")
            [erased] = await live.wait_for_code(2006)
            assert erased["data"] == {
                "erasureId": accepted["erasureId"],
                "appId": app_id,
                "userId": "ann",
                "groupId": None,
                "eraseTime": accepted["eraseTime"],
            }
            assert erased["cursor"] == accepted["cursor"]
        await caller.send("ann", "back again")
        report = await caller.done(accepted["erasureId"])
        assert (report["erasedMessages"], report["erasedNotices"], report["erasedDeadLetters"]) == (21, 1, 1)
        assert report["erasedLogEntries"] == 23

        again = await caller.post("/v1/commands/publish-notice", **notice)
        assert again["duplicate"], "the notice is remembered"
        repeated = await caller.send("ann", f"{SECRET} 0", "h", clientMessageId="a0")
        assert repeated["duplicate"], "the message is remembered"
        assert SECRET not in await bytes_of_rows(erased_database)
        assert SECRET.encode() not in await bytes_of_files(redis, lone_redis.folder)
        assert SECRET not in (lines := await exported())
        assert "words of bob 19" in lines
        assert all(SECRET not in process.log for process in deployment.processes)

        # From the log, and from its beginning: all that is left, then the erasure, then what came after it.
        async with connect(node, app_id, "resumes", first["cursor"], notices=True) as gateway:
            await gateway.wait_for(lambda frame: "back again" in str(frame))
            assert gateway.frames[0]["recovered"]
            assert pushed(gateway) == [
                *((2001, f"words of bob {number}") for number in range(20)),
                (2006, accepted["erasureId"]),
                (2001, "back again"),
            ]
            assert gateway.with_code(4002) == []
        groups = await http.get(deployment.query_apis[0].url + "/v1/queries/groups", params={"appId": app_id})
        totals = {each["groupId"]: each["messageTotal"] for each in groups.json()["data"]["groups"]}
        assert totals == {"g": 22}


async def test_a_gateway_that_comes_back_after_the_log_is_trimmed_is_told_in_order(
    small_on: Make, lone_redis: PrivateRedis, erased_database: str, http: httpx.AsyncClient, app_id: str
) -> None:
    short = Start({"IMC_LOG_RETENTION_SECONDS": "1"})
    async with (
        small_on(lone_redis.url, erased_database, query_apis=(Start(),), projectors=(short,)) as deployment,
        Redis.from_url(lone_redis.url) as redis,
    ):
        caller = Caller(deployment, http, app_id)
        first = await caller.send("bob", "first")
        await caller.send("ann", SECRET)
        await caller.send("bob", "second")
        accepted = await caller.post("/v1/commands/erase-user", userId="ann")
        await caller.send("bob", "third")
        await caller.done(accepted["erasureId"])

        async def is_trimmed() -> bool:
            return await redis.xlen(names.log(app_id)) <= 1

        # Upkeep of an app comes once a minute.
        await redis.zadd(names.apps(names.shard_of(app_id)), {app_id: 0})
        await wait_until(is_trimmed, 20)
        async with connect(deployment.push_nodes[0].url, app_id, "deep", first["cursor"]) as gateway:
            await gateway.wait_for(lambda frame: "third" in str(frame))
            expected = [(2001, "second"), (2006, accepted["erasureId"]), (2001, "third")]
            assert pushed(gateway) == expected
            assert gateway.with_code(4002) == []


@pytest.mark.parametrize(
    ("name", "time"),
    [("fails-while-erasing-rows", 1), ("fails-while-copying", 2), ("fails-after-replacing", 1)],
)
async def test_a_projector_that_is_killed_in_the_middle_is_continued(
    small: Make, load_small: Make, judge: Judge, tmp_path: Path, name: str, time: int
) -> None:
    mark = tmp_path / name
    dying = Start({**failpoint(mark, time=time)}, name)
    async with (
        small(projectors=(dying,), command_apis=(Start(), Start())) as deployment,
        load_small(deployment, apps=2) as load,
    ):
        load.begin()
        await load.more(600)
        app_id, other = load.app_ids
        # Two at once, while the senders go on.
        await asyncio.gather(
            load.clients.erase(app_id, group_id="group 1"),
            load.clients.erase(app_id, group_id="group 1"),
            load.clients.erase(other),
        )
        [projector] = deployment.projectors
        await wait_until(lambda: mark.exists() and projector.exit_code is not None, 60)
        assert projector.exit_code == -signal.SIGKILL
        await load.more(20)
        await projector.start()
        await load.more(50)
        for each in load.app_ids:
            await load.clients.erased(each)
        report = await judge(load)
        assert report.is_clean, report
        assert len(load.rows) < len(load.history.sends)


async def test_servers_that_are_away_delay_an_erasure_and_lose_nothing(
    small_on: Make,
    load_between: Make,
    judge: Judge,
    lone_redis: PrivateRedis,
    own_stores: Any,
    own_mariadb: PrivateMariadb,
    erased_database: str,
) -> None:
    stores = type(own_stores)(lone_redis.url, erased_database)
    async with (
        small_on(lone_redis.url, erased_database, projectors=(Start(), Start())) as deployment,
        load_between(stores, deployment, apps=2) as load,
    ):
        load.begin()
        await load.more(200)
        app_id, other = load.app_ids
        with load.database_outage():
            own_mariadb.pause()
            await load.clients.erase(app_id, group_id="group 0")
            await load.more(20)
            own_mariadb.resume()
        await load.clients.erase(other)
        await lone_redis.kill()
        await lone_redis.start()
        await load.more(50)
        for each in load.app_ids:
            await load.clients.erased(each)
        report = await judge(load)
        assert report.is_clean, report
