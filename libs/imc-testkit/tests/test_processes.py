import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from imc_testkit.processes import Process, free_port, run_script

Script = Callable[[str], str]

READY_AFTER_TWO_CALLS = """
import os, signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    calls = 0
    def do_GET(self):
        Handler.calls += 1
        self.send_response(200 if Handler.calls > 2 else 503)
        self.end_headers()
        self.wfile.write(b"not yet")

signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("started with", sorted(name for name in os.environ if name != "LC_CTYPE"), flush=True)
HTTPServer(("127.0.0.1", int(os.environ["IMC_PORT"])), Handler).serve_forever()
"""
CRASHES = "import sys; print('the reason of the crash'); sys.exit(3)"
NEVER_READY = "import time; print('waiting for nothing', flush=True); time.sleep(60)"


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Writes a program that is run like a console script."""

    def write(source: str) -> str:
        path = tmp_path / "script"
        path.write_text(f"#!{sys.executable}\n{source}")
        path.chmod(0o755)
        return str(path)

    return write


def is_taken(pid: int) -> bool:
    """Whether there is a process of that id, or one that has ended and still has it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def get(process: Process, timeout: float = 5.0) -> int:
    async with httpx.AsyncClient(trust_env=False, timeout=timeout) as client:
        return (await client.get(process.url)).status_code


async def test_a_process_is_ready_when_readyz_says_so_and_exits_on_sigterm(script: Script) -> None:
    async with Process(script(READY_AFTER_TWO_CALLS), {"IMC_X": "1"}) as process:
        await process.ready()
        assert "started with ['IMC_PORT', 'IMC_X', 'PATH']" in process.log
        assert await process.terminate() == 7
        assert process.exit_code == 7


async def test_the_id_of_a_process_that_has_ended_goes_to_no_other_before_it_is_closed(
    script: Script,
) -> None:
    async with Process(script(CRASHES), {}) as process:
        assert await process.wait() == 3
        assert (process.exit_code, process.exit_code) == (3, 3)
        process.send_signal(signal.SIGKILL)
        first = process.pid
        assert is_taken(first)
        await process.start()
        assert not is_taken(first)
        assert await process.wait() == 3
        last = process.pid
    assert not is_taken(last)


async def test_a_crash_at_the_start_is_reported_at_once_with_the_log(script: Script) -> None:
    async with Process(script(CRASHES), {}) as process:
        with pytest.raises(AssertionError, match=r"(?s)ended with 3.*the reason of the crash"):
            await process.ready()


async def test_a_process_that_never_becomes_ready_is_reported_with_its_log_and_killed(script: Script) -> None:
    async with Process(script(NEVER_READY), {}) as process:
        with pytest.raises(AssertionError, match=r"(?s)to be ready.*ConnectError.*log of"):
            await process.ready(timeout=0.3)
        assert process.exit_code is None
    assert process.exit_code == -signal.SIGKILL


async def test_a_killed_process_starts_again_on_the_same_port(script: Script) -> None:
    async with Process(script(READY_AFTER_TWO_CALLS), {}) as process:
        await process.ready()
        await process.kill()
        assert process.exit_code == -signal.SIGKILL
        with pytest.raises(httpx.ConnectError):
            await get(process)
        await process.start()
        await process.ready()
        assert process.log.count("started with") == 2


async def test_a_paused_process_hangs_until_it_is_resumed(script: Script) -> None:
    async with Process(script(READY_AFTER_TWO_CALLS), {}) as process:
        await process.ready()
        process.pause()
        with pytest.raises(httpx.ReadTimeout):
            await get(process, timeout=0.2)
        process.resume()
        assert await get(process) == 200


async def test_the_lines_of_its_log_are_those_that_it_has_written_whole(script: Script) -> None:
    half = "import sys\nsys.stdout.write('first\\nsec\\u2028ond\\nthi')\nsys.stdout.flush()\nsys.stdin.read()"
    async with Process(script(half), {}) as process:
        assert await process.wait() == 0
        assert process.log.endswith("thi")
        assert process.lines == ["first", "sec\u2028ond"]


async def test_a_script_that_fails_is_reported_with_its_output(script: Script) -> None:
    assert await run_script(script("print('done')"), {}) == "done\n"
    with pytest.raises(AssertionError, match=r"(?s)ended with 3:.*the reason of the crash"):
        await run_script(script(CRASHES), {})


def test_a_free_port_can_be_listened_on() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        assert listener.getsockname()[1] < 32_000
