"""Standalone in surroundings that others choose: folders, limits, outputs, locales."""

import os
import stat
import sys
from pathlib import Path

import httpx
import pytest
from imc_standalone.embedded_redis import SOCKET_PATH_BYTES
from imc_testkit.processes import Process
from imc_testkit.tokens import OFF
from imc_testkit.waiting import wait_until

LONG = "a" * 120
SCRIPT = Path(sys.executable).parent / "imc-standalone"


def standalone(tmp_path: Path, line: str = "exec $SCRIPT", **env: str) -> Process:
    """A standalone that a line of shell starts; on a folder that is not there yet, unless ``env`` says so."""
    start = tmp_path / "start"
    start.write_text(f"#!/bin/bash\n{line}\n")
    start.chmod(0o755)
    environment = {**OFF, "SCRIPT": str(SCRIPT), "IMC_DATA_DIR": str(tmp_path / "data"), **env}
    return Process(str(start), environment)


async def works(process: Process) -> None:
    """It starts, stores a message, and ends in order."""
    async with process, httpx.AsyncClient(base_url=process.url, trust_env=False) as client:
        await process.ready()
        body = {"appId": "a", "groupId": "g", "userId": "u", "content": "é 😀"}
        sent = await client.post("/v1/commands/send-message", json=body)
        assert sent.status_code == 200, sent.text

        async def is_stored() -> bool:
            reply = await client.get("/chat/message/findByGroupId", params={"appId": "a", "groupId": "g"})
            return [message["content"] for message in reply.json()["data"]["pageMessageList"]] == ["é 😀"]

        await wait_until(is_stored)
        assert await process.terminate() == 0
        assert "Traceback" not in process.log


@pytest.mark.parametrize("outputs", ["> >(true)", "> >(true) 2>&1", ">&- 2>&- <&-", ">/dev/full 2>&1"])
async def test_it_runs_whatever_becomes_of_its_outputs(tmp_path: Path, outputs: str):
    await works(standalone(tmp_path, f"exec $SCRIPT {outputs}"))


async def test_it_runs_in_a_locale_that_knows_ascii_alone(tmp_path: Path):
    ascii_alone = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    await works(standalone(tmp_path, IMC_DATA_DIR=str(tmp_path / "数据"), **ascii_alone))


@pytest.mark.parametrize(
    ("temporary", "data"),
    [(LONG, "data"), ("tmp", LONG), (LONG, LONG), ("is-not-there", "data"), ("tmp", "not/there yet/ ü")],
)
async def test_paths_may_be_long_or_odd(tmp_path: Path, temporary: str, data: str):
    if temporary != "is-not-there":
        (tmp_path / temporary).mkdir(exist_ok=True)
    await works(
        standalone(tmp_path, TMPDIR=str(tmp_path / temporary), IMC_DATA_DIR=str(tmp_path / data / "data"))
    )


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("a-file", "File exists"),
        ("a-file/data", "Not a directory"),
        ("/proc/self/data", "No such file or directory"),
        ("loop/data", "Too many levels of symbolic links"),
        (LONG * 3, "File name too long"),
        ("with-a-lock", "Is a directory"),
    ],
)
async def test_a_folder_that_can_not_be_used_is_told_in_one_line(tmp_path: Path, data: str, says: str):
    (tmp_path / "a-file").touch()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "with-a-lock/lock").mkdir(parents=True)
    async with standalone(tmp_path, IMC_DATA_DIR=str(tmp_path / data)) as process:
        assert await process.wait() == 2
        assert process.log == (
            f"IMC_DATA_DIR: {tmp_path / data} can't be used: {says} "
            "(it must be a folder that this process may write to)\n"
        )


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can mount")
async def test_a_read_only_folder_is_told_in_one_line(tmp_path: Path):
    (tmp_path / "data").mkdir()
    mounted = 'mount --bind "$IMC_DATA_DIR" "$IMC_DATA_DIR" && mount -o remount,ro,bind "$IMC_DATA_DIR"'
    line = f"exec unshare --mount bash -c '{mounted} && exec $SCRIPT'"
    async with standalone(tmp_path, line) as process:
        assert await process.wait() == 2
        assert process.log.startswith(
            f"IMC_DATA_DIR: {tmp_path / 'data'} can't be used: Read-only file system"
        )
        assert process.log.count("\n") == 1


async def test_the_cause_is_named_if_the_embedded_server_does_not_start(tmp_path: Path):
    async with standalone(tmp_path, "ulimit -n 30; exec $SCRIPT") as process:
        assert await process.wait() == 1
        assert "Your current 'ulimit -n' of 30 is not enough for the server to start" in process.log
        assert "Traceback" not in process.log


async def test_few_descriptors_are_enough(tmp_path: Path):
    await works(standalone(tmp_path, "ulimit -n 128; exec $SCRIPT"))


async def test_its_files_are_for_nobody_else_whatever_the_folder(tmp_path: Path):
    folder = tmp_path / "data"
    await works(standalone(tmp_path, "umask 0; exec $SCRIPT"))
    log = folder / "log"
    for path in (log, *log.rglob("*")):
        path.chmod(0o777)
    folder.chmod(0o755)
    async with standalone(tmp_path, "umask 0; exec $SCRIPT") as process:
        await process.ready()
        found = {path: stat.S_IMODE(path.stat().st_mode) for path in (folder / "lock", log, *log.rglob("*"))}
        assert {path.name for path in found} >= {"server.log", "appendonlydir", "socket", "lock"}
        for path, mode in found.items():
            assert mode == (0o700 if path.is_dir() else 0o600), path
        socket = (log / "socket").read_text("utf-8")
        assert len(os.fsencode(socket)) <= SOCKET_PATH_BYTES
        assert oct(os.stat(socket).st_mode)[-3:] == "700"
        assert oct(os.stat(os.path.dirname(socket)).st_mode)[-3:] == "700"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755, "the folder is not ours to change"
