"""Real processes: what they do when they are told to stop."""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from imc_service.http import server
from imc_testkit.processes import Process, free_port
from imc_testkit.waiting import wait_until

PROGRAM = """\
import asyncio, os
from contextlib import asynccontextmanager
from types import SimpleNamespace
from fastapi import FastAPI
from imc_service import logs
from imc_service.http import server
from imc_service.http.application import assemble
from imc_service.health import Readiness
from prometheus_client import CollectorRegistry

HOW = os.environ["HOW"]

@asynccontextmanager
async def lifespan(app):
    if HOW == "start fails":
        raise RuntimeError("no start")
    yield
    print("lifespan ended", flush=True)

app = assemble(FastAPI(lifespan=lifespan), Readiness(), CollectorRegistry())

@app.get("/slow")
async def slow():
    print("slow begun", flush=True)
    await asyncio.sleep(0.5 if HOW != "hang" else 60)
    return "done"

async def drain():
    print("drain begun", flush=True)
    await asyncio.sleep(0.3 if HOW != "hang" else 60)
    print("drain ended", flush=True)

async def main():
    settings = SimpleNamespace(
        host=os.environ.get("HOST", "127.0.0.1"),
        port=int(os.environ["IMC_PORT"]),
        drain_delay_seconds=float(os.environ.get("DELAY", "0")),
    )
    await server.serve(app, settings, drain=None if HOW == "no drain" else drain)
    print("served", flush=True)

server.KEEP_ALIVE_SECONDS = float(os.environ.get("KEEP_ALIVE", server.KEEP_ALIVE_SECONDS))
logs.configure("test", "info")
server.run(main)
"""

Program = Callable[..., Process]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """A process that serves; ``how`` says in which way it misbehaves."""

    def make(how: str = "well", port: int | None = None, **env: str) -> Process:
        path = tmp_path / "program"
        path.write_text(f"#!{sys.executable}\n{PROGRAM}")
        path.chmod(0o755)
        return Process(str(path), {"HOW": how, **env}, port)

    return make


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_then_ends(program: Program, number: signal.Signals) -> None:
    async with program() as process, httpx.AsyncClient(base_url=process.url, trust_env=False) as client:
        await process.ready()
        slow = asyncio.create_task(client.get("/slow"))
        await wait_until(lambda: "slow begun" in process.log)
        process.send_signal(number)
        await wait_until(lambda: "drain begun" in process.log)
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/livez")).status_code == 200, "it serves while it drains"
        assert "told to stop; a second signal ends the process at once" in process.log
        assert (await slow).json() == "done", "what was under way is carried out"
        assert await process.wait() == 0
        steps = [
            process.log.index(step) for step in ("drain begun", "drain ended", "lifespan ended", "served")
        ]
        assert steps == sorted(steps)


async def test_it_goes_on_unready_for_the_delay_and_lets_clients_go(program: Program) -> None:
    async with (
        program(DELAY="300") as process,
        httpx.AsyncClient(base_url=process.url, trust_env=False) as client,
    ):
        await process.ready()
        assert "connection" not in (await client.get("/livez")).headers
        process.send_signal(signal.SIGTERM)

        async def is_unready() -> bool:
            return (await client.get("/readyz")).status_code == 503

        await wait_until(is_unready)
        for _ in range(3):
            reply = await client.get("/livez")
            assert (reply.status_code, reply.headers["connection"]) == (200, "close")
        assert "drain begun" not in process.log
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def test_without_a_drain_it_ends_when_its_requests_have(program: Program) -> None:
    async with program("no drain") as process, httpx.AsyncClient(trust_env=False) as client:
        await process.ready()
        slow = asyncio.create_task(client.get(f"{process.url}/slow"))
        await wait_until(lambda: "slow begun" in process.log)
        assert await process.terminate() == 0
        assert (await slow).json() == "done"


async def test_a_second_signal_ends_it_at_once(program: Program) -> None:
    async with program("hang") as process, httpx.AsyncClient(trust_env=False) as client:
        await process.ready()
        hung = asyncio.create_task(client.get(f"{process.url}/slow", timeout=60))
        await wait_until(lambda: "slow begun" in process.log)
        process.send_signal(signal.SIGTERM)
        await wait_until(lambda: "drain begun" in process.log)
        process.send_signal(signal.SIGTERM)
        assert await process.wait(30) == 0  # what hangs there would take 60 seconds
        assert "drain ended" not in process.log
        await asyncio.gather(hung, return_exceptions=True)


async def test_an_idle_connection_is_kept_for_longer_than_clients_keep_it(program: Program) -> None:
    """A client that writes its next request while the server closes can't know what became of it."""
    assert server.KEEP_ALIVE_SECONDS > 60
    async with program("no drain", KEEP_ALIVE="6") as process:
        await process.ready()
        reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        writer.write(b"GET /livez HTTP/1.1\r\nHost: imc.test\r\n\r\n")
        async with asyncio.timeout(60):
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
        # Timers may be early by what a clock can tell.
        assert loop.time() - begun >= 5.9, "uvicorn's own figure is 5 seconds"
        writer.close()


async def test_a_port_in_use_is_told(program: Program) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        async with program(port=port) as process:
            assert await process.wait() == 1
            assert process.log == (
                f"can't listen on 127.0.0.1 port {port}: Address already in use. "
                "Set IMC_PORT to another port\n"
            )


async def test_a_failed_start_is_told_and_ends_with_status_1(program: Program) -> None:
    async with program("start fails") as process:
        assert await process.wait() == 1
        assert "no start" in process.log
        assert "never retrieved" not in process.log
        assert process.log.endswith("the process could not start; the log above says why\n")


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("::1", ["[::1]"]),
        ("[::1]", ["[::1]"]),
        ("::", ["[::1]", "127.0.0.1"]),
        ("0.0.0.0", ["127.0.0.1"]),
        ("localhost", ["localhost"]),
    ],
)
async def test_it_listens_on_all_that_an_address_means(
    program: Program, host: str, addresses: list[str]
) -> None:
    async with program(HOST=host) as process, httpx.AsyncClient(trust_env=False) as client:

        async def answers(address: str) -> bool:
            try:
                return (await client.get(f"http://{address}:{process.port}/readyz")).status_code == 200
            except httpx.ConnectError:
                return False

        for address in addresses:
            await wait_until(lambda address=address: answers(address))
        assert await process.terminate() == 0


async def test_a_host_that_is_none_is_told(program: Program) -> None:
    async with program(HOST="nowhere.invalid") as process:
        assert await process.wait() == 1
        assert process.log.startswith(f"can't listen on nowhere.invalid port {process.port}: ")
        assert process.log.count("\n") == 1
