"""The programs in docs/client.md work as they are printed there."""

import os
import re
import sys
import textwrap
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any
from unittest import mock

import imc_gateway
import pytest
from clients.toolchains import QUICK_JAVA
from imc_gateway import (
    Erased,
    Event,
    Gap,
    Message,
    MessageRecalled,
    MessageSent,
    Notice,
    NoticeDeleted,
    NoticePublished,
)
from imc_testkit.child import Child
from imc_testkit.deployment import Deployment
from imc_testkit.waiting import wait_until
from project_files import ROOT

from gateways import languages

WRITTEN_ADDRESS = "ws://127.0.0.1:8000"


def printed(language: str, address: str) -> str:
    """The program in a language: the only such block of code on the page."""
    page = (ROOT / "docs/client.md").read_text()
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert WRITTEN_ADDRESS in text
    return text.replace(WRITTEN_ADDRESS, address)


def in_python(folder: Path, address: str) -> list[str]:
    (folder / "listen.py").write_text(printed("python", address))
    return [sys.executable, "listen.py"]


def in_javascript(folder: Path, address: str) -> list[str]:
    built = languages.javascript("listen.mjs", printed("javascript", WRITTEN_ADDRESS))
    for name in ("imc-gateway.js", "package.json", "node_modules"):
        (folder / name).symlink_to(built / name)
    (folder / "listen.mjs").write_text(printed("javascript", address))
    return ["node", "--preserve-symlinks", "listen.mjs"]


def in_java(folder: Path, address: str) -> list[str]:
    classes = languages.java("Listen.java", printed("java", WRITTEN_ADDRESS))
    (folder / "Listen.java").write_text(printed("java", address))
    return [*QUICK_JAVA, "-cp", str(classes), "Listen.java"]


@pytest.mark.parametrize("program", [in_python, in_javascript, in_java])
async def test_a_program_of_the_page_gets_its_own_message(
    program: Callable[[Path, str], list[str]], standalone_process: Deployment, tmp_path: Path
) -> None:
    address = standalone_process.push_nodes[0].url.replace("http", "ws", 1)
    command = program(tmp_path, address)
    child = Child(["env", f"--chdir={tmp_path}", *command], {"PATH": os.environ["PATH"]})
    child.spawn()
    try:
        await wait_until(lambda: "ann: hello" in child.log or child.exit_code is not None, 60)
        assert child.log.splitlines() == ["ann: hello"]
        assert (tmp_path / "position").exists()
    finally:
        await child.close()


async def test_the_example_of_events_tells_them_apart_by_their_classes() -> None:
    page = (ROOT / "docs/client.md").read_text()
    [example] = [
        block for block in re.findall(r"^```py\n(.*?)^```", page, re.M | re.S) if "match event" in block
    ]
    message = Message("1", "a", "g", "u", "", 1, 0, None, None, False)
    notice = Notice("2", "a", "g", "u", None, "", 1, 0, None, None, False)
    events = [
        MessageSent(message),
        MessageRecalled(message),
        NoticePublished(notice),
        NoticeDeleted(notice),
        Erased("3", "ann", None, 1),
        Gap(is_repaired=True),
        Gap(is_repaired=False),
    ]

    async def imc() -> AsyncGenerator[Event]:
        for event in events:
            yield event

    screen, cache = mock.Mock(), mock.Mock()
    names: dict[str, Any] = {**vars(imc_gateway), "imc": imc(), "screen": screen, "cache": cache}
    exec(f"async def run():\n{textwrap.indent(example, '    ')}", names)
    await names["run"]()
    assert screen.mock_calls == [
        mock.call.show(message),
        mock.call.remove("1"),
        mock.call.pin(notice),
        mock.call.unpin("2"),
    ]
    assert cache.mock_calls == [mock.call.erase(user_id="ann", group_id=None), mock.call.reload()]
