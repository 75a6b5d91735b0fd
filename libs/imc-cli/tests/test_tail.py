"""Events as they happen: shown once, filtered, continued, ended as a shell expects."""

import asyncio
import json
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from imc_cli.commands.tail import data_of, line_of
from imc_gateway import Gap, Message, MessageSent
from imc_testkit.command import Imc, program
from imc_testkit.tokens import token
from imc_testkit.waiting import wait_until

pytestmark = pytest.mark.programs

SECONDS = 30


@asynccontextmanager
async def tail(imc: Imc, *arguments: str) -> AsyncGenerator[Process]:
    """A tail that runs."""
    environment = {"PATH": os.environ["PATH"], **imc.environment}
    process = await asyncio.create_subprocess_exec(
        program(),
        *("tail", *arguments),
        env=environment,
        stdout=PIPE,
        stderr=PIPE,
        # As in a terminal. A shell lets what it runs in the background ignore Ctrl-C, these tests included.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line_after_sending(imc: Imc, process: Process, app_id: str, group_id: str = "lobby") -> str:
    """Send until the tail, which may not be connected yet, shows something; its first line."""
    assert process.stdout is not None
    reading = asyncio.create_task(process.stdout.readline())
    async with asyncio.timeout(SECONDS):
        while not reading.done():
            await asyncio.to_thread(imc, "send", "-a", app_id, "-g", group_id, "-u", "ann", "hello")
            await asyncio.wait({reading}, timeout=0.1)
    return reading.result().decode()


async def test_events_are_shown_until_ctrl_c(imc: Imc, app_id: str) -> None:
    async with tail(imc, "--app", app_id) as process:
        line = await line_after_sending(imc, process, app_id)
        assert "  sent  " in line
        assert line.endswith("  ann in lobby: hello\n")
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), SECONDS) == 130
        assert process.stderr is not None
        assert (await process.stderr.read()).decode().strip() == ""


async def test_filters_counts_and_kinds(imc: Imc, app_id: str) -> None:
    options = ("--app", app_id, "--group", "other", "--notices", "--json", "--count", "3")
    async with tail(imc, *options) as process:
        assert process.stdout is not None
        first = json.loads(await line_after_sending(imc, process, app_id, "other"))
        assert (first["event"], first["message"]["groupId"]) == ("sent", "other")
        await asyncio.to_thread(imc, "send", "-a", app_id, "-g", "lobby", "-u", "ann", "not shown")
        await asyncio.to_thread(imc, "notice", "publish", "-a", app_id, "-g", "other", "-u", "admin", "news")
        await asyncio.to_thread(imc, "recall", "-a", app_id, first["message"]["messageId"])
        rest = [json.loads(line) for line in (await process.stdout.read()).splitlines()]
        events = [each for each in rest if each.get("message", {}).get("content") != "hello"]
        assert {each["event"] for each in events} <= {"notice", "recalled"}
        assert await asyncio.wait_for(process.wait(), SECONDS) == 0


async def test_a_store_continues_where_the_last_run_ended(imc: Imc, app_id: str, tmp_path: Path) -> None:
    store = str(tmp_path / "position")
    async with tail(imc, "--app", app_id, "--store", store, "--count", "1", "--json") as process:
        await line_after_sending(imc, process, app_id)
        assert await asyncio.wait_for(process.wait(), SECONDS) == 0
    missed = ("send", "-a", app_id, "-g", "later", "-u", "ann", "while nobody listened")
    await asyncio.to_thread(imc, *missed)
    options = ("--app", app_id, "--store", store, "--group", "later", "--count", "1", "--json")
    async with tail(imc, *options) as process:
        assert process.stdout is not None
        [line] = (await asyncio.wait_for(process.stdout.read(), SECONDS)).splitlines()
        assert json.loads(line)["message"]["content"] == "while nobody listened"


async def test_what_ends_for_good_is_told(imc: Imc, app_id: str, tmp_path: Path) -> None:
    call = ("tail", "--app", app_id)
    narrow = imc.with_(IMC_TOKEN=token(scope="send"))
    assert "403" in await asyncio.to_thread(narrow.refused, *call)
    no_position = tmp_path / "position"
    no_position.write_text("nonsense")
    said = await asyncio.to_thread(imc.refused, *call, "--store", str(no_position))
    assert f"{no_position}: the store holds what is no position" in said
    said = await asyncio.to_thread(imc.refused, *call, "--store", str(tmp_path), code=2)
    assert "is a directory" in said


async def test_a_newer_gateway_of_the_same_name_ends_it(imc: Imc, app_id: str) -> None:
    options = ("--app", app_id, "--gateway", "gateway-1")
    async with tail(imc, *options) as older:
        await line_after_sending(imc, older, app_id)
        async with tail(imc, *options) as newer:
            assert await asyncio.wait_for(older.wait(), SECONDS) == 1
            assert older.stderr is not None
            assert b"ended for good with 4409" in await older.stderr.read()
            assert newer.returncode is None


def test_a_gap_is_told_without_a_message() -> None:
    assert data_of(Gap(is_repaired=False)) == {"event": "gap", "repaired": False}
    assert "events may be missing" in line_of(Gap(is_repaired=False))
    assert "what was missed stands above" in line_of(Gap(is_repaired=True))
    message = Message("1", "a", "g", "u", "x\x1b[2J", 0, 0, None, None, False)
    assert r"x\x1b[2J" in line_of(MessageSent(message))


async def test_an_operator_sees_the_gateway_and_disconnects_it(imc: Imc, app_id: str) -> None:
    found: list[dict[str, object]] = []

    def gateways() -> bool:
        listed = imc("gateways", "list", "--app", app_id, "--json")
        found[:] = [json.loads(line) for line in listed.splitlines()]
        return len(found) == 1

    async with tail(imc, "--app", app_id, "--gateway", "g 1") as process:
        await wait_until(lambda: asyncio.to_thread(gateways), what="the gateway to be listed")
        assert (found[0]["gatewayId"], found[0]["door"], found[0]["state"]) == ("g 1", "v1", "live")
        shown = await asyncio.to_thread(imc, "gateways", "list", "--app", app_id)
        assert shown.splitlines()[1].startswith(f"{app_id}\tg 1\tv1\t")
        call = ("gateways", "disconnect", "--app", app_id, "--reason", "enough", "g 1")
        assert await asyncio.to_thread(imc, *call) == "1 disconnected\n"
        assert await asyncio.wait_for(process.wait(), SECONDS) == 1
        assert process.stderr is not None
        assert b"ended for good with 4410: enough" in await process.stderr.read()
    nobody = ("gateways", "disconnect", "--app", app_id, "nobody")
    assert "40403" in await asyncio.to_thread(imc.refused, *nobody)


async def test_an_operator_sees_what_an_app_does(imc: Imc, app_id: str) -> None:
    lines = b"hello\n" * 10
    await asyncio.to_thread(lambda: imc("send", "-a", app_id, "-g", "lobby", "-u", "ann", typed=lines))
    rows: list[list[str]] = []

    def is_listed() -> bool:
        rows[:] = [line.split("\t") for line in imc("apps", "--noisiest", "--all").splitlines()]
        return any(row[0] == app_id and row[1] != "0.00" for row in rows)

    await wait_until(lambda: asyncio.to_thread(is_listed), 60, what="the app to be listed with its rate")
    assert rows[0][:4] == ["APP", "SENDS/S", "REFUSED/S", "PUSHES/S"]
    narrow = imc.with_(IMC_TOKEN=token(scope="read"))
    assert "its scope must hold operate" in await asyncio.to_thread(narrow.refused, "apps")
