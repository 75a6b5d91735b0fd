"""Every command and program in a document is executed by a test: here those that no other test looks at."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
from imc_contracts.policies import Policies
from imc_testkit.child import free_port
from imc_testkit.deployment import Deployment, standalone
from imc_testkit.waiting import wait_until
from project_files import ROOT, project_files

pytestmark = pytest.mark.programs

WRITTEN = "http://127.0.0.1:8000"
PROGRAMS = ("sh", "python", "javascript", "java", "go")
TESTS = {
    "README.md": "tests-e2e/test_examples.py",
    "deploy/k8s/README.md": "tests-e2e/cluster/test_installing.py",
    "docs/api.md": "tests-e2e/test_examples.py",
    "docs/capacity.md": "tests-e2e/test_executed.py",
    "docs/client.md": "tests-e2e/gateways/test_client_page.py",
    "docs/command-line.md": "tests-e2e/test_command_line.py",
    "docs/console.md": "tests-e2e/test_executed.py",
    "docs/gateways.md": "tests-e2e/clients/test_documented_gateways.py",
    "docs/java.md": "tests-e2e/test_examples.py",
    "docs/security.md": "tests-e2e/test_executed.py",
    "docs/tutorial.md": "tests-e2e/test_tutorial.py",
    "examples/group-chat/README.md": "tests-e2e/test_executed.py",
    "examples/mirror/README.md": "tests-e2e/test_executed.py",
    "libs/imc-gateway/README.md": "tests-e2e/test_executed.py",
}
"""Documents with commands or programs, and the test that executes them."""
RUNBOOK = "docs/operations"
"""A shell reads its commands in deployment/test_operations.py. Those for Redis and databases are typed by
deployment/test_people.py, those for Kubernetes by cluster/test_installing.py and the tests beside it."""
ONLY_NAMED = {
    "CONTRIBUTING.md": "targets of the Makefile, which test_repository.py looks for",
    "bench/README.md": "the same; they take long",
}


def blocks(document: str, *languages: str) -> list[str]:
    """The blocks of code of a document in some languages."""
    text = (ROOT / document).read_text("utf-8")
    found = re.findall(r"^ *```(\w+)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [block for language, block in found if language in languages]


def test_every_document_with_code_has_a_test():
    with_code = {
        name
        for path in project_files(".md")
        if ".zh-CN" not in path.name and not (name := path.relative_to(ROOT).as_posix()).startswith(RUNBOOK)
        if blocks(name, *PROGRAMS)
    }
    assert with_code == TESTS.keys() | ONLY_NAMED.keys()
    for document, test in TESTS.items():
        assert document.rpartition("docs/")[2] in (ROOT / test).read_text("utf-8"), document


@pytest.fixture(scope="module")
async def installation(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Deployment]:
    async with standalone(tmp_path_factory.mktemp("executed")) as deployment:
        yield deployment


def in_a_shell(script: str, folder: Path) -> str:
    """Run commands in ``folder``, as a reader would; what they print."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "IMC_JWT_SECRET": "0" * 64,
        "no_proxy": "127.0.0.1",
    }
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("document", ["docs/console.md", "docs/security.md"])
def test_commands_that_need_no_installation_work_as_typed(document: str, tmp_path: Path):
    [script] = blocks(document, "sh")
    assert "imc token mint" in script
    assert in_a_shell(script, tmp_path).count(".") == 2, "a token"


def test_the_commands_of_capacity_work_as_typed(tmp_path: Path):
    first, *others = blocks("docs/capacity.md", "sh")
    # As the Makefile and the image do.
    made = re.sub(r"make capacity ARGS=\"(.*)\"", r"imc capacity \1", first)
    made = made.replace("docker run --rm imc-command-api imc", "imc")
    assert all(line.startswith("imc capacity ") for line in made.splitlines())
    [plan] = blocks("docs/capacity.md", "toml")
    (tmp_path / "plan.toml").write_text(plan, "utf-8")
    for script in [
        made,
        "imc capacity --file plan.toml",
        *(each for each in others if "simulate" not in each),
    ]:
        assert "command-api" in in_a_shell(script, tmp_path)


@pytest.mark.parametrize("block", blocks("docs/apps.md", "toml"))
def test_a_file_of_apps_may_say_what_is_printed(block: str):
    Policies().read(block)


async def printed_by(command: list[str], line: str, folder: Path) -> list[str]:
    """The lines that a program prints until it has printed ``line``; then it is stopped."""
    program = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    lines: list[str] = []
    try:
        assert program.stdout is not None
        async with asyncio.timeout(30):
            async for each in program.stdout:
                lines.append(each.decode().rstrip())
                if lines[-1] == line:
                    return lines
        raise AssertionError(lines)
    finally:
        if program.returncode is None:
            program.kill()
        await program.wait()


async def test_the_programs_of_the_library_work_as_printed(installation: Deployment, tmp_path: Path):
    gateway, calls = blocks("libs/imc-gateway/README.md", "python")
    address = installation.command_apis[0].url
    for name, text in (("gateway.py", gateway), ("calls.py", calls)):
        text = text.replace(WRITTEN, address).replace(
            WRITTEN.replace("http", "ws"), address.replace("http", "ws")
        )
        assert str(installation.command_apis[0].port) in text
        (tmp_path / name).write_text(text, "utf-8")
    lines = await printed_by([sys.executable, "-u", "gateway.py"], "ann in lobby: hello", tmp_path)
    assert lines == ["ann in lobby: hello"]

    async def content_is_stored() -> bool:
        """A query may be behind for a moment."""
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "calls.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        return "hello" in done.stdout

    await wait_until(content_is_stored)


async def test_the_chat_starts_as_typed(installation: Deployment):
    [command] = blocks("examples/group-chat/README.md", "sh")
    port = free_port()
    typed = command.replace(WRITTEN, installation.command_apis[0].url).replace("9001", str(port))
    words = typed.replace("\\\n", " ").replace(".venv/bin/python", sys.executable).split()
    program = await asyncio.create_subprocess_exec(*words, cwd=ROOT)
    try:
        async with httpx.AsyncClient(trust_env=False) as browser:

            async def answers() -> bool:
                try:
                    return (await browser.get(f"http://127.0.0.1:{port}/")).status_code == 200
                except httpx.TransportError:
                    return False

            await wait_until(answers)
    finally:
        program.kill()
        await program.wait()


async def test_the_search_index_finds_what_was_sent_as_typed(installation: Deployment, tmp_path: Path):
    address = installation.command_apis[0].url
    [commands] = blocks("examples/mirror/README.md", "sh")
    typed = commands.replace(".venv/bin/python", sys.executable).replace(
        "index.db", str(tmp_path / "index.db")
    )
    mirrors, searches = (line.removesuffix(" &").split() for line in typed.splitlines())
    message = {"appId": "demo", "groupId": "lobby", "userId": "ann", "content": "hello, index"}
    async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
        assert (await client.post("/v1/commands/send-message", json=message)).status_code == 200
    program = await asyncio.create_subprocess_exec(*mirrors, "--url", address, cwd=ROOT)
    try:

        async def is_found() -> bool:
            done = await asyncio.to_thread(
                subprocess.run, searches, cwd=ROOT, capture_output=True, text=True, check=False
            )
            return "hello, index" in done.stdout

        await wait_until(is_found, interval=0.5)
    finally:
        program.kill()
        await program.wait()
