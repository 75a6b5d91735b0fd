"""Gateways that write what is no message: nobody else waits for it, and the memory it takes is bounded."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
from imc_testkit.gateway import connect
from imc_testkit.processes import Process
from imc_testkit.raw_gateway import RawGateway
from imc_testkit.waiting import wait_until
from imc_testkit.wire_fuzz import frame

FLOOD_SECONDS = 8
FRAMES_A_WRITE = 4000
WAITED_SECONDS = 5
"""Longer than this nobody waits for an answer: a node that can't give one says 503 by then."""

GATEWAYS = 25
FRAME_BYTES = 39 * 1_048_576
UNFINISHED_BYTES = 134_217_728
"""As in the settings of push-node, `IMC_UNFINISHED_NODE_BYTES`."""

BESIDE_BYTES = 150_000_000
"""What an allocator and the last reads of each gateway may take beside what is counted."""


@pytest.fixture
async def push_node(redis_url: str) -> AsyncGenerator[Process]:
    environment = {
        "IMC_AUTH": "off",
        "IMC_REDIS_URL": redis_url,
        "IMC_COMMAND_API_URL": "http://127.0.0.1:9",
        "IMC_FORWARD_SECONDS": "0.1",
        "IMC_FRAME_SECONDS": "15",
        "IMC_MAX_FRAME_BYTES": str(FRAME_BYTES + 1_048_576),
    }
    async with Process("imc-push-node", environment) as process:
        await process.ready()
        yield process


async def metric(process: Process, name: str) -> float:
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(process.url + "/metrics")).text
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + " "))


async def flood(process: Process, app_id: str, index: int, data: bytes, end: float) -> None:
    """Write ``data`` again and again; come back when the node has closed."""
    while time.monotonic() < end:
        with contextlib.suppress(OSError, EOFError):
            async with RawGateway.connecting(process.url, app_id, f"flood{index}") as gateway:
                await gateway.read_until(b'"code":2000')
                closing = asyncio.create_task(gateway.close_code())
                while time.monotonic() < end and not closing.done():
                    gateway.write(data)
                    await gateway.drained()
                closing.cancel()
                with contextlib.suppress(asyncio.CancelledError, EOFError):
                    assert await closing == 1008


@pytest.mark.parametrize(
    "data",
    [
        frame(b"", 10) * FRAMES_A_WRITE,
        frame(b"", 9) * FRAMES_A_WRITE,
        frame(b" ", fin=False) + frame(b"", 0, fin=False) * FRAMES_A_WRITE + frame(b"", 0),
        frame(b"[" + b"5," * 499 + b"5]") * 400,
    ],
    ids=["pongs", "pings", "fragments", "refusals"],
)
async def test_a_flood_is_ended_and_nobody_waits_for_it(push_node: Process, app_id: str, data: bytes) -> None:
    end = time.monotonic() + FLOOD_SECONDS
    async with (
        connect(push_node.url, app_id, "other") as other,
        httpx.AsyncClient(base_url=push_node.url, trust_env=False, timeout=WAITED_SECONDS) as http,
    ):
        await other.wait_for_code(2000)
        floods = [asyncio.create_task(flood(push_node, app_id, index, data, end)) for index in range(3)]
        sent = 0
        while time.monotonic() < end:
            assert (await http.get("/livez")).status_code == 200
            await other.send_json({"clientMessageId": f"{sent}"})
            sent += 1
            await other.wait_for_code(4001, sent, timeout=WAITED_SECONDS)
        await asyncio.gather(*floods)
        assert await metric(push_node, 'imc_gateway_closes_total{code="1008"}') >= 1
        assert other.close_code is None


def resident_bytes(process: Process) -> int:
    (line,) = [
        line
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    ]
    return int(line.split()[1]) * 1024


async def test_frames_that_never_end_take_no_more_than_is_allowed(push_node: Process, app_id: str) -> None:
    before = resident_bytes(push_node)
    head = b"\x81\xff" + (FRAME_BYTES + 1_048_576).to_bytes(8, "big") + b"\0\0\0\0"
    async with contextlib.AsyncExitStack() as stack:
        most, codes = 0, list[int]()

        async def begin(index: int) -> None:
            gateway = await stack.enter_async_context(
                RawGateway.connecting(push_node.url, app_id, f"endless{index}")
            )
            await gateway.read_until(b'"code":2000')
            closing = asyncio.create_task(gateway.close_code())
            gateway.write(head)
            for _ in range(FRAME_BYTES // 1_048_576):
                if closing.done():
                    break
                gateway.write(b" " * 1_048_576)
                await gateway.drained()
            while not closing.done():
                gateway.write(b" ")
                await asyncio.wait([closing], timeout=0.5)
            codes.append(await closing)

        tasks = [asyncio.create_task(begin(index)) for index in range(GATEWAYS)]
        while not all(task.done() for task in tasks):
            most = max(most, resident_bytes(push_node) - before)
            await asyncio.wait(tasks, timeout=0.05)
        await asyncio.gather(*tasks)
        assert most < UNFINISHED_BYTES + BESIDE_BYTES
        assert set(codes) <= {1013, 4408}
        assert len(codes) == GATEWAYS
        assert {1013, 4408} <= set(codes)
    await wait_until(lambda: has_forgotten(push_node), what="nothing unfinished")
    async with connect(push_node.url, app_id, "well") as gateway:
        await gateway.wait_for_code(2000)


async def has_forgotten(process: Process) -> bool:
    return await metric(process, "imc_gateway_unfinished_bytes") == 0
