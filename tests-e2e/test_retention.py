"""What the file of apps does not keep is removed, and whoever missed it is told so."""

import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
from imc_command_api.projector.logs import Logs, Retention
from imc_contracts import names
from imc_service.redis.masters import Masters
from imc_testkit.databases import new_database, run
from imc_testkit.deployment import Deployment, Start, separate, standalone
from imc_testkit.gateway import connect
from imc_testkit.policies import FileOfApps, policies_text
from imc_testkit.processes import run_script
from imc_testkit.servers import PrivateRedis, private_redis
from imc_testkit.waiting import wait_until
from redis.asyncio import Redis

DAY_MS = 86_400_000
AGE = """
UPDATE imc_message SET create_time = create_time - {ms} WHERE app_id = '{app_id}' AND content LIKE 'old %'
"""
COMMANDS, QUERIES = "/v1/commands", "/v1/queries"


@pytest.fixture
async def own_redis() -> AsyncGenerator[PrivateRedis]:
    async with private_redis() as server:
        yield server


@pytest.fixture
async def own_database_url(database_server_url: str) -> AsyncGenerator[str]:
    async with new_database(database_server_url) as url:
        await run_script("imc-migrate", {"IMC_DATABASE_URL": url})
        yield url


@pytest.fixture
def file(tmp_path: Path) -> FileOfApps:
    return FileOfApps(tmp_path / "apps.toml")


@pytest.fixture
async def deployment(
    own_redis: PrivateRedis, own_database_url: str, file: FileOfApps
) -> AsyncGenerator[Deployment]:
    env = {"IMC_APPS_FILE": str(file.path), "IMC_SWEEP_SECONDS": "1", "IMC_SWEEP_SHARE": "1"}
    one = (Start(),)
    async with separate(
        own_redis.url, own_database_url, env, command_apis=one, projectors=one, push_nodes=one
    ) as installation:
        yield installation


class Calls:
    """The calls of one app at an installation."""

    def __init__(self, http: httpx.AsyncClient, deployment: Deployment, app_id: str) -> None:
        self._http = http
        self._commands, self._queries = deployment.command_apis[0].url, deployment.query_apis[0].url
        self._app_id = app_id

    async def send(self, content: str, group_id: str = "g") -> dict[str, Any]:
        body = {"appId": self._app_id, "groupId": group_id, "userId": "u", "content": content}
        return (await self._http.post(f"{self._commands}{COMMANDS}/send-message", json=body)).json()["data"]

    async def command(self, name: str, **fields: Any) -> httpx.Response:
        body = {"appId": self._app_id, **fields}
        return await self._http.post(f"{self._commands}{COMMANDS}/{name}", json=body)

    async def query(self, name: str, **parameters: Any) -> httpx.Response:
        return await self._http.get(
            f"{self._queries}{QUERIES}/{name}", params={"appId": self._app_id, **parameters}
        )

    async def has(self, *contents: str, group_id: str = "g") -> None:
        async def does() -> bool:
            reply = await self.query("messages", groupId=group_id, withTotal="true", limit=500)
            page = reply.json()["data"]
            shown = [message["content"] for message in page["messages"]]
            return (shown, page["total"]) == (list(contents), len(contents))

        await wait_until(does, what=f"the history to be {contents}")


async def trimmed(redis: Redis, app_id: str) -> None:
    """Trim the log to its newest entry, as the projector does after the log's retention."""

    async def is_projected() -> bool:
        fields: Any = await redis.hmget(names.log_state(app_id), ["last", "projected"])  # pyright: ignore
        return fields[0] is not None and fields[0] == fields[1]

    await wait_until(is_projected)
    logs = Logs(Masters(redis), "trimmer", Retention(0, 1, DAY_MS))
    while (await logs.tidy(app_id))[0]:
        pass


async def test_old_messages_go_and_a_gateway_that_missed_them_is_told(
    deployment: Deployment,
    own_redis: PrivateRedis,
    own_database_url: str,
    file: FileOfApps,
    http: httpx.AsyncClient,
    app_id: str,
):
    calls, node = Calls(http, deployment, app_id), deployment.push_nodes[0].url
    seen = await calls.send("seen")
    old = [await calls.send(f"old {number}") for number in range(1, 11)]
    kept = [await calls.send(f"kept {number}") for number in range(1, 6)]
    await calls.send("old group 1", "quiet")
    await calls.has("seen", *(f"old {n}" for n in range(1, 11)), *(f"kept {n}" for n in range(1, 6)))
    await calls.has("old group 1", group_id="quiet")
    late = await calls.send("in the log")
    async with Redis.from_url(own_redis.url) as redis:  # pyright: ignore[reportUnknownMemberType]
        await trimmed(redis, app_id)
    await run(own_database_url, AGE.format(app_id=app_id, ms=40 * DAY_MS))
    # The times of the rows are changed here by hand, and so are those of their groups.
    await run(
        own_database_url,
        f"UPDATE imc_group SET newest_create_time = newest_create_time - {40 * DAY_MS} "
        f"WHERE app_id = '{app_id}' AND group_id = 'quiet'",
    )
    file.write(policies_text({app_id: {"retention_days": 30}}))
    await calls.has("seen", *(f"kept {n}" for n in range(1, 6)), "in the log")
    await calls.has(group_id="quiet")
    groups = (await calls.query("groups")).json()["data"]["groups"]
    assert [(group["groupId"], group["messageTotal"]) for group in groups] == [("g", 7)]

    gone = old[0]["messageId"]
    assert (await calls.query("message", messageId=gone)).json()["code"] == 40401
    async with connect(node, app_id, "missed", cursor=seen["cursor"]) as gateway:
        await gateway.wait_for(lambda frame: frame["code"] == 2001 and frame["cursor"] == late["cursor"])
        codes = [frame["code"] for frame in gateway.frames]
        [gap] = gateway.with_code(4002)
        assert codes[:2] == [2000, 4002]
        assert gateway.frames[0]["recovered"] is False
        assert gap["data"]["from"] == seen["cursor"]
        # The quiet group's message came last of those that are gone.
        assert [frame["data"]["content"] for frame in gateway.with_code(2001)] == ["in the log"]
    async with connect(node, app_id, "informed", cursor=gap["data"]["to"]) as gateway:
        await gateway.wait_for_code(2001)
        assert gateway.frames[0]["recovered"] is True
        assert gateway.with_code(4002) == []
    assert kept[0]["messageId"] in str((await calls.query("messages", groupId="g")).json())


async def test_a_gateway_that_missed_nothing_that_is_gone_gets_everything(
    deployment: Deployment,
    own_redis: PrivateRedis,
    own_database_url: str,
    file: FileOfApps,
    http: httpx.AsyncClient,
    app_id: str,
):
    calls, node = Calls(http, deployment, app_id), deployment.push_nodes[0].url
    await calls.send("old 1")
    last = await calls.send("old 2")
    for number in range(5):
        await calls.send(f"kept {number}")
    await calls.send("in the log")
    async with Redis.from_url(own_redis.url) as redis:  # pyright: ignore[reportUnknownMemberType]
        await trimmed(redis, app_id)
    await run(own_database_url, AGE.format(app_id=app_id, ms=40 * DAY_MS))
    file.write(policies_text({}, {"retention_days": 30}))
    await calls.has(*(f"kept {number}" for number in range(5)), "in the log")
    async with connect(node, app_id, "one", cursor=last["cursor"]) as gateway:
        await gateway.wait_for_code(2001, 6)
        assert gateway.frames[0]["recovered"] is True
        assert [frame["code"] for frame in gateway.frames] == [2000, *[2001] * 6]


async def test_a_removed_message_can_not_be_recalled_and_stays_away(
    deployment: Deployment,
    own_redis: PrivateRedis,
    own_database_url: str,
    file: FileOfApps,
    http: httpx.AsyncClient,
    app_id: str,
):
    calls = Calls(http, deployment, app_id)
    message = await calls.send("old 1")
    await calls.send("kept")
    await calls.has("old 1", "kept")
    async with Redis.from_url(own_redis.url) as redis:  # pyright: ignore[reportUnknownMemberType]
        # As long after the recall window: the log does not remember it any more.
        for key in await redis.keys("imc:*:recent:*"):
            await redis.delete(key)
    await run(own_database_url, AGE.format(app_id=app_id, ms=40 * DAY_MS))
    file.write(policies_text({app_id: {"retention_days": 30}}))
    await calls.has("kept")
    reply = await calls.command("recall-message", messageId=message["messageId"])
    assert (reply.status_code, reply.json()["code"]) == (404, 40401)
    await calls.send("more")
    await calls.has("kept", "more")


async def test_standalone_keeps_to_the_file_too(tmp_path: Path, http: httpx.AsyncClient, app_id: str):
    file = FileOfApps(tmp_path / "apps.toml")
    env = {"IMC_APPS_FILE": str(file.path), "IMC_SWEEP_SECONDS": "1", "IMC_SWEEP_SHARE": "1"}
    async with standalone(tmp_path / "data", env) as deployment:
        calls = Calls(http, deployment, app_id)
        await calls.send("old 1")
        await calls.send("kept")
        await calls.has("old 1", "kept")
        with sqlite3.connect(tmp_path / "data" / "imc.sqlite3", timeout=20) as connection:
            connection.execute(AGE.format(app_id=app_id, ms=40 * DAY_MS))
        connection.close()
        file.write(policies_text({}, {"abandoned_group_days": 20, "retention_days": 30}))
        await calls.has("kept")


async def test_an_age_that_the_log_outlives_is_a_warning(
    own_redis: PrivateRedis, own_database_url: str, file: FileOfApps, http: httpx.AsyncClient
):
    file.write(policies_text({}, {"retention_days": 1}))
    env = {"IMC_APPS_FILE": str(file.path), "IMC_LOG_RETENTION_SECONDS": str(2 * 86_400)}
    async with separate(
        own_redis.url,
        own_database_url,
        env,
        command_apis=(),
        query_apis=(),
        push_nodes=(),
        projectors=(Start(),),
    ) as deployment:
        reply = await http.get(f"{deployment.projectors[0].url}/readyz")
        assert reply.status_code == 200
        [warning] = reply.json()["warnings"]
        assert warning.startswith(
            "retention: defaults: nothing is removed, since logs keep entries for 2 days"
        )
