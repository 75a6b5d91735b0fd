"""docs/tutorial.md works as it is written: each command and program of it, in the order of the page."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from imc_testkit.deployment import standalone
from imc_testkit.waiting import wait_until
from project_files import ROOT

pytestmark = pytest.mark.programs

PORT = "127.0.0.1:8000"
TEXT = (ROOT / "docs/tutorial.md").read_text("utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Page:
    """The blocks of code of the tutorial, in their order."""

    def __init__(self, address: str) -> None:
        self._blocks = BLOCK.findall(TEXT.replace(PORT, address))

    def next(self, language: str) -> str:
        """The next block, which must be in this language."""
        found, text = self._blocks.pop(0)
        assert found == language, text
        return text

    def command(self) -> str:
        """The next block, a command for a shell."""
        return self.next("sh").strip()

    def printed(self) -> list[str]:
        """The next block, lines that a terminal shows."""
        return self.next("text").splitlines()

    def is_done(self) -> bool:
        return not self._blocks


class Terminal:
    """A terminal in the folder of the tutorial, with one program in it."""

    def __init__(self, program: asyncio.subprocess.Process) -> None:
        self._program = program
        self.lines: list[str] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._program.stdout is not None
        async for line in self._program.stdout:
            self.lines.append(line.decode().rstrip("\n"))

    @property
    def shown(self) -> list[str]:
        """The lines but for those in brackets, which tell of connections."""
        return [line for line in self.lines if not line.startswith("(")]

    async def type(self, line: str) -> None:
        assert self._program.stdin is not None
        self._program.stdin.write(f"{line}\n".encode())
        await self._program.stdin.drain()

    async def ctrl_c(self) -> int:
        """Press Ctrl-C; the exit status."""
        self._program.send_signal(signal.SIGINT)
        return await self.end()

    async def end(self) -> int:
        status = await asyncio.wait_for(self._program.wait(), 30)
        await self._reading
        return status

    async def close(self) -> None:
        if self._program.returncode is None:
            self._program.kill()
            await self.end()


class Desk:
    """What the reader has: a folder, and terminals."""

    def __init__(self, folder: Path, address: str, stack: AsyncExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._env = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "IMC_URL": f"http://{address}",
            "no_proxy": "127.0.0.1",
        }

    async def start(self, command: str) -> Terminal:
        program = await asyncio.create_subprocess_exec(
            *("bash", "-c", f"exec {command}"),
            cwd=self.folder,
            env=self._env,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            # As in a terminal: what a shell starts in the background ignores Ctrl-C, and so do its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        terminal = Terminal(program)
        self._stack.push_async_callback(terminal.close)
        return terminal

    async def run(self, command: str) -> list[str]:
        """Run a command that ends; what it prints."""
        terminal = await self.start(command)
        assert await terminal.end() == 0, terminal.lines
        return terminal.lines


@asynccontextmanager
async def desk(folder: Path, address: str) -> AsyncGenerator[Desk]:
    async with AsyncExitStack() as stack:
        yield Desk(folder, address, stack)


def without_ids(line: str) -> str:
    """A line of `imc tail` with neither time nor id, which differ."""
    return re.sub(r"^\S+Z\s+(\w+)\s+\d+", r"\1", line)


async def test_the_tutorial_works_as_it_is_written(tmp_path: Path):
    folder = tmp_path / "imc-tutorial"
    folder.mkdir()
    async with standalone(tmp_path / "data") as deployment:
        [imc] = deployment.processes
        address = f"127.0.0.1:{imc.port}"
        page = Page(address)
        async with desk(folder, address) as reader:
            assert page.command() == "make run"  # it runs already, as `make run` starts it
            assert page.printed()[0].partition("(")[0].strip() == f"IMC runs at http://{address}"
            assert f"IMC runs at http://{address}" in imc.log
            assert page.command().startswith('export PATH="$PWD/.venv/bin:$PATH"')
            await send_a_message(page, reader, address)
            await write_a_gateway(page, reader)
            ann, bob = await let_two_gateways_talk(page, reader)
            bob = await cut_one_off(page, reader, ann, bob)
            imc.send_signal(signal.SIGINT)
            await imc.wait()
            await ann.type("still here?")
            await wait_until(lambda: any("connecting again" in line for line in ann.lines))
            assert page.command() == "make run"
            await imc.start()
            await deployment.ready()
            for terminal in (ann, bob):
                await wait_until(lambda terminal=terminal: "ann: still here?" in terminal.shown)
                assert terminal.shown.count("ann: still here?") == 1
            command = page.command()

            async def are_listed() -> bool:
                listed = await reader.run(command)
                return {line.split("\t")[1] for line in listed[1:]} == {"gateway-of-ann", "gateway-of-bob"}

            # A node writes down every two seconds which gateways have come and gone.
            await wait_until(are_listed)
            assert await ann.ctrl_c() == 0
            assert await bob.ctrl_c() == 0
            said = [*ann.lines, *bob.lines]
            assert not any("Traceback" in line or "HTTP Request" in line for line in said)
        assert page.is_done()


async def send_a_message(page: Page, reader: Desk, address: str) -> None:
    tail = await reader.start(page.command())

    async def listens() -> bool:
        async with httpx.AsyncClient(trust_env=False) as client:
            reply = await client.get(f"http://{address}/v1/gateways", params={"appId": "demo"})
            return bool(reply.json()["data"]["gateways"])

    await wait_until(listens)
    [sent] = await reader.run(page.command())
    assert re.fullmatch(r"\d+  \S+Z", sent)
    await wait_until(lambda: tail.lines)
    [told] = page.printed()
    assert without_ids(tail.lines[0]) == without_ids(told)
    history = page.command()

    async def stored() -> bool:
        return any("hello" in line for line in await reader.run(history))

    await wait_until(stored)
    await tail.ctrl_c()


async def write_a_gateway(page: Page, reader: Desk) -> None:
    (reader.folder / "gateway.py").write_text(page.next("python"), "utf-8")
    gateway = await reader.start(page.command())
    await wait_until(lambda: gateway.lines)
    await reader.run(page.command())
    shown = page.printed()
    await wait_until(lambda: len(gateway.lines) >= len(shown))
    assert gateway.lines == shown
    await gateway.ctrl_c()


async def let_two_gateways_talk(page: Page, reader: Desk) -> tuple[Terminal, Terminal]:
    (reader.folder / "chat.py").write_text(page.next("python"), "utf-8")
    ann, bob = await reader.start(page.command()), await reader.start(page.command())
    shown = page.printed()
    for terminal in (ann, bob):
        await wait_until(lambda terminal=terminal: terminal.shown)
    for count, line in enumerate(shown[1:], 2):
        user, _, content = line.partition(": ")
        await {"ann": ann, "bob": bob}[user].type(content)
        for terminal in (ann, bob):
            await wait_until(lambda terminal=terminal, count=count: len(terminal.shown) >= count)
    assert ann.shown == bob.shown == shown
    return ann, bob


async def cut_one_off(page: Page, reader: Desk, ann: Terminal, bob: Terminal) -> Terminal:
    assert await bob.ctrl_c() == 0
    before = len(ann.shown)
    lines = page.printed()
    for line in lines:
        await ann.type(line)
    await wait_until(lambda: len(ann.shown) >= before + len(lines))
    bob = await reader.start(page.command())
    shown = page.printed()
    await wait_until(lambda: len(bob.shown) >= len(shown))
    assert bob.shown == shown
    return bob
