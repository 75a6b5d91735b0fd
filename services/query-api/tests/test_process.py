"""Tests the process as it runs in production."""

import contextlib

import httpx
from imc_testkit.child import free_port
from imc_testkit.processes import Process
from imc_testkit.tokens import OFF
from imc_testkit.waiting import wait_until


async def test_the_process_serves_until_sigterm(database_url: str) -> None:
    async with Process("imc-query-api", {**OFF, "IMC_DATABASE_URL": database_url}) as process:
        await process.ready()
        async with httpx.AsyncClient(base_url=process.url, trust_env=False) as client:
            asked = {"appId": "a", "groupId": "群"}
            reply = await client.get("/chat/message/findByGroupId", params=asked)
            assert reply.json()["data"] == {"total": 0, "pageMessageList": []}
            reply = await client.get("/v1/queries/messages", params=asked)
            assert reply.json()["data"] == {"messages": [], "hasMore": False, "total": None}
            assert reply.headers["Content-Type"] == "application/json"
        assert await process.terminate() == 0


async def test_the_process_runs_without_a_database_and_stops_in_time() -> None:
    nowhere = f"mysql://imc@127.0.0.1:{free_port()}/imc"

    async def lives() -> bool:
        assert process.exit_code is None, process.log
        with contextlib.suppress(httpx.ConnectError):
            return (await client.get("/livez")).status_code == 200
        return False

    async with (
        Process("imc-query-api", {**OFF, "IMC_DATABASE_URL": nowhere}) as process,
        httpx.AsyncClient(base_url=process.url, trust_env=False) as client,
    ):
        await wait_until(lives)
        assert (await client.get("/readyz")).status_code == 503
        assert await process.terminate() == 0


async def test_missing_settings_are_named() -> None:
    async with Process("imc-query-api", OFF) as process:
        assert await process.wait() == 2
        assert "IMC_DATABASE_URL: is missing" in process.log
