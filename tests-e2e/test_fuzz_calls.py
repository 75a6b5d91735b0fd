"""Calls drawn from what the processes publish of themselves: each answer is one that is described."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from imc_testkit.deployment import Deployment, Start, separate, standalone
from imc_testkit.tokens import JWT, token

SECONDS = float(os.environ.get("FUZZ_MINUTES", "0")) * 60
SEED = os.environ.get("FUZZ_SEED", "1")
RULES = Path(__file__).with_name("schemathesis.toml")
TOOL = Path(sys.executable).parent / "schemathesis"
SETTINGS = {**JWT, "IMC_ADVERTISE_URL": "ws://127.0.0.1:1"}

pytestmark = pytest.mark.timeout(600 + 4 * SECONDS)


@pytest.fixture(scope="module")
async def one_process(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Deployment]:
    async with standalone(tmp_path_factory.mktemp("described"), SETTINGS) as deployment:
        yield deployment


@pytest.fixture(scope="module")
async def many_processes(redis_url: str, database_url: str) -> AsyncGenerator[Deployment]:
    one = (Start(),)
    async with separate(
        redis_url, database_url, SETTINGS, command_apis=one, projectors=one, push_nodes=one
    ) as deployment:
        yield deployment


async def call_all(url: str, folder: Path, *options: str) -> None:
    """Call the process at ``url`` in all ways that its description allows or forbids."""
    bearing = ["--header", f"Authorization: Bearer {token(lifetime=36_000)}"]
    process = await asyncio.create_subprocess_exec(
        *(TOOL, "--config-file", RULES, "--no-color", "run", "--seed", SEED),
        *(*bearing, *options, f"{url}/openapi.json"),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    if process.returncode != 0:
        pytest.fail(told.decode(), pytrace=False)


async def test_all_calls_answer_as_they_are_described(one_process: Deployment, tmp_path: Path):
    [process] = one_process.processes
    await call_all(process.url, tmp_path, "--max-examples", "3")


@pytest.mark.skipif(not SECONDS, reason="a long one: make fuzz")
async def test_each_process_answers_as_it_is_described(many_processes: Deployment, tmp_path: Path):
    processes = [*many_processes.command_apis, *many_processes.query_apis, *many_processes.push_nodes]
    for process in processes:
        await call_all(process.url, tmp_path, "--max-time", str(max(1, int(SECONDS / len(processes)))))
        assert process.exit_code is None
