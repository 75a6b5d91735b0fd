"""Standalone: its data survives every end, and it says clearly why it can't start."""

import os
import re
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from imc_push_node.cluster.drain import SETTLE_SECONDS
from imc_service.health import TELL_SECONDS
from imc_standalone.settings import StandaloneSettings, load_parts
from imc_standalone.welcome import welcome
from imc_testkit.gateway import connect
from imc_testkit.processes import Process
from imc_testkit.tokens import OFF
from imc_testkit.waiting import wait_until

BODY = {"appId": "a", "groupId": "g", "userId": "u", "content": "kept 😀 \u0000"}


async def send(process: Process, **fields: Any) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=process.url, trust_env=False) as client:
        reply = await client.post("/v1/commands/send-message", json={**BODY, **fields})
        assert reply.status_code == 200, reply.text
        return reply.json()["data"]


async def history(process: Process, total: int) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(base_url=process.url, trust_env=False) as client:

        async def stored() -> list[dict[str, Any]] | None:
            reply = await client.get("/chat/message/findByGroupId", params={"appId": "a", "groupId": "g"})
            data = reply.json()["data"]
            return data["pageMessageList"] if data["total"] == total else None

        return await wait_until(stored) or []


async def test_data_survives_kill_and_ctrl_c(tmp_path: Path):
    async with Process("imc-standalone", {**OFF, "IMC_DATA_DIR": str(tmp_path / "data")}) as process:
        await process.ready()
        first = await send(process, clientMessageId="c")
        # Not projected yet, perhaps: then it is only in the log, which a killed process must leave whole.
        await process.kill()
        await process.start()
        await process.ready()
        assert await send(process, clientMessageId="c") == {**first, "duplicate": True}
        await send(process)
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
        await process.start()
        await process.ready()
        stored = await history(process, 2)
        assert [message["content"] for message in stored] == [BODY["content"]] * 2
        assert stored[0]["messageId"] == first["messageId"]


async def test_ctrl_c_says_what_happens_and_is_no_fault(tmp_path: Path):
    """Even if gateways take longer to leave than it takes to find a fault."""
    longer = TELL_SECONDS * 3
    env = {**OFF, "IMC_DATA_DIR": str(tmp_path / "data"), "IMC_DRAIN_SECONDS": str(longer)}
    async with Process("imc-standalone", env) as process:
        await process.ready()
        async with connect(process.url, "a", "one") as one, connect(process.url, "a", "two") as two:
            await one.wait_for_code(2000)
            await two.wait_for_code(2000)
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0
        assert f"IMC ends, within {longer + SETTLE_SECONDS:g} seconds" in process.log
        assert "level" not in process.log, "no line of the log"


@pytest.mark.parametrize("name", ["d#ata", "100% %41", "a b:c@d?密码"])
async def test_its_data_folder_may_have_any_name(tmp_path: Path, name: str):
    folder = tmp_path / name
    folder.mkdir(mode=0o755)
    async with Process("imc-standalone", {**OFF, "IMC_DATA_DIR": str(folder)}) as process:
        await process.ready()
        await send(process)
        await history(process, 1)
        files = {file.name: file.stat().st_mode & 0o777 for file in folder.glob("imc.sqlite3*")}
        assert "imc.sqlite3" in files
        assert set(files.values()) == {0o600}
    assert os.listdir(tmp_path) == [name]


async def test_a_second_one_on_the_same_folder_says_so(tmp_path: Path):
    environment = {**OFF, "IMC_DATA_DIR": str(tmp_path / "data")}
    async with Process("imc-standalone", environment) as first:
        await first.ready()
        async with Process("imc-standalone", environment) as second:
            assert await second.wait() == 1
            assert "is in use by another process" in second.log
        await send(first)


async def test_every_fault_of_the_settings_is_told_at_once(tmp_path: Path):
    environment = {**OFF, "IMC_BACKLOG_LIMIT": "0", "IMC_STALL_SECONDS": "x", "IMC_DATABASE_POOL": "-1"}
    async with Process("imc-standalone", environment) as process:
        assert await process.wait() == 2
        for variable in set(environment) - set(OFF):
            assert f"{variable}: " in process.log
        assert "Traceback" not in process.log


@pytest.mark.parametrize("host", ["::", "::1", "0.0.0.0", "localhost"])
async def test_the_welcome_names_an_address_that_answers(tmp_path: Path, host: str):
    environment = {**OFF, "IMC_AUTH_OFF_IS_FINE": "1", "IMC_DATA_DIR": str(tmp_path), "IMC_HOST": host}
    async with Process("imc-standalone", environment) as process:
        line = await wait_until(lambda: re.search(r"IMC runs at (http://\S+) ", process.log), 60)
        assert line is not None
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(line[1] + "/livez")).status_code == 200
            if host == "::":
                for address in ("[::1]", "127.0.0.1"):
                    assert (await client.get(f"http://{address}:{process.port}/livez")).status_code == 200


def test_the_welcome_says_where_to_go_next():
    text = welcome(StandaloneSettings.model_validate({"auth": "off", "port": 8123}))
    for word in (
        "curl http://127.0.0.1:8123/v1/commands/send-message",
        "ws://127.0.0.1:8123/",
        "/console/",
        "/docs",
    ):
        assert word in text


def test_parts_get_the_stores_that_were_opened():
    parts = load_parts({**OFF, "IMC_RECALL_WINDOW_SECONDS": "60"}).on("unix:///there", "sqlite:///here")
    assert parts.command_api.recall_window_seconds == 60
    for part in (parts.command_api, parts.projector, parts.push_node):
        assert part.redis_url.get_secret_value() == "unix:///there"
    assert parts.query_api.database_url.get_secret_value() == "sqlite:///here"


@pytest.mark.parametrize("replica", ["mysql://replica/imc"])
def test_a_replica_that_is_given_is_read(replica: str):
    parts = load_parts({**OFF, "IMC_READ_DATABASE_URL": replica}).on("unix:///there", "mysql://here/imc")
    assert parts.query_api.read_database_url is not None
    assert parts.query_api.read_database_url.get_secret_value() == replica
    assert parts.query_api.database_url.get_secret_value() == "mysql://here/imc"
