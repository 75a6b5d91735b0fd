"""The commands in the documents work as they are typed, and answer what the documents print."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from imc_testkit.deployment import Deployment, standalone
from imc_testkit.waiting import wait_until
from project_files import ROOT

WRITTEN_ADDRESS = "http://127.0.0.1:8000"
BLOCK = re.compile(r"^```sh\n(.*?)^```\n(?:```json\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
"""Commands, and the reply that is printed below them, if there is one."""


class Shell:
    """One bash for all commands of a document, since they use each other's variables."""

    def __init__(self, bash: asyncio.subprocess.Process, address: str) -> None:
        self._bash = bash
        self._address = address

    async def run(self, commands: str) -> list[Any]:
        """Run commands; each JSON value that they print."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        typed = commands.replace(WRITTEN_ADDRESS, self._address)
        self._bash.stdin.write(f"{typed}\necho; echo END\n".encode())
        printed = await asyncio.wait_for(self._bash.stdout.readuntil(b"\nEND\n"), 30)
        return list(values(printed.decode().removesuffix("END\n")))


@pytest.fixture(scope="module")
async def installation(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Deployment]:
    async with standalone(tmp_path_factory.mktemp("examples")) as deployment:
        yield deployment


@pytest.fixture
async def shell(installation: Deployment, tmp_path: Path) -> AsyncGenerator[Shell]:
    (tmp_path / ".curlrc").write_text("silent\nnoproxy = *\n")
    bash = await asyncio.create_subprocess_exec(
        "bash",
        env={"PATH": "/usr/bin:/bin", "CURL_HOME": str(tmp_path)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    yield Shell(bash, installation.command_apis[0].url)
    bash.kill()
    await bash.wait()


def values(text: str) -> Iterator[Any]:
    """JSON values that stand one behind the other."""
    decoder, text = json.JSONDecoder(), text.lstrip()
    while text:
        value, end = decoder.raw_decode(text)
        yield value
        text = text[end:].lstrip()


def same_shape(printed: Any, answered: Any) -> bool:
    """Whether both have the same fields and kinds of values; null may stand for a value of any kind."""
    if printed is None or answered is None:
        return True
    if isinstance(printed, dict) and isinstance(answered, dict):
        return printed.keys() == answered.keys() and all(
            same_shape(printed[key], answered[key]) for key in printed
        )
    if isinstance(printed, list) and isinstance(answered, list):
        return len(printed) == len(answered) and all(map(same_shape, printed, answered))
    return type(printed) is type(answered)


async def test_the_calls_of_the_documents_work_as_typed(shell: Shell, installation: Deployment):
    async with httpx.AsyncClient(base_url=installation.query_apis[0].url, trust_env=False) as client:

        async def stored() -> bool:
            reply = await client.get(
                "/v1/queries/messages", params={"appId": "demo", "groupId": "lobby", "withTotal": "true"}
            )
            return reply.json()["data"]["total"] == 3

        async def is_announced_as_ready() -> bool:
            """It says so itself a second after it has become ready."""
            reply = await client.get("/v1/installation")
            return all(each["ready"] for each in reply.json()["data"]["processes"])

        await wait_until(is_announced_as_ready)
        text = (ROOT / "docs/api.md").read_text()
        before, _, queries = text.partition("\n## Queries\n")
        for commands, reply in BLOCK.findall(before):
            check(commands, reply, await shell.run(commands))
        await wait_until(stored)
        for commands, reply in BLOCK.findall(queries):
            check(commands, reply, await shell.run(commands))


async def test_the_calls_of_the_java_version_work_as_typed(shell: Shell):
    blocks = BLOCK.findall((ROOT / "docs/java.md").read_text())
    calls = [(commands, reply) for commands, reply in blocks if "curl" in commands]
    assert calls
    for commands, reply in calls:
        check(commands, reply, await shell.run(commands))


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
async def test_the_first_conversation_works_as_typed(shell: Shell, name: str):
    [conversation] = [block for block, _ in BLOCK.findall((ROOT / name).read_text()) if "curl" in block]
    listen, _, rest = conversation.partition("# 2.")
    assert "/v1/gateways/" in listen  # it listens until it is stopped: gateways are tested by themselves
    check(rest, "", await shell.run(f"#{rest}"))


def check(commands: str, printed: str, answered: list[Any]) -> None:
    assert len(answered) >= commands.count("curl $IMC"), commands
    assert [each for each in answered if not each.get("success", "status" in each)] == [], commands
    if printed:
        first, *_ = values(printed)
        assert same_shape(first, answered[0]), (first, answered[0])


@pytest.mark.parametrize(
    ("printed", "answered", "same"),
    [
        ({"a": 1}, {"a": 2}, True),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": 1}, {"a": 1, "b": 1}, False),
        ([{"a": None}], [{"a": "x"}], True),
        ([1], [1, 2], False),
    ],
)
def test_shapes_are_told_apart(printed: Any, answered: Any, same: bool):
    assert same_shape(printed, answered) is same
