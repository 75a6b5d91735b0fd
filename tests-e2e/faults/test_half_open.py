"""A gateway whose cable is pulled: no packet ever tells of its end."""

import os
import sys
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from imc_testkit.checker import Report
from imc_testkit.child import Child
from imc_testkit.deployment import Start
from imc_testkit.disks import NotPermitted
from imc_testkit.network import FarMachine, far_machine
from imc_testkit.waiting import wait_until

Judge = Callable[..., Awaitable[Report]]
Make = Callable[..., Any]

DROPPED_WITHIN_SECONDS = 40
BUFFER_THAT_FILLS_AT_ONCE = 1024
BUFFER_THAT_NEVER_FILLS = 1_073_741_824
GATEWAY = """
import sys
from websockets.sync.client import connect
for frame in connect(sys.argv[1], proxy=None): print(frame)
"""
EVERYWHERE = {"IMC_HOST": "0.0.0.0", "IMC_AUTH_OFF_IS_FINE": "1"}


@pytest.fixture
def machine() -> Generator[FarMachine]:
    with ExitStack() as stack:
        try:
            machine = stack.enter_context(far_machine())
        except NotPermitted as reason:
            pytest.skip(str(reason))
        yield machine


@pytest.mark.parametrize("buffer_bytes", [BUFFER_THAT_FILLS_AT_ONCE, BUFFER_THAT_NEVER_FILLS])
async def test_a_half_open_gateway_is_dropped(
    machine: FarMachine, small: Make, load_small: Make, judge: Judge, buffer_bytes: int
) -> None:
    """Within 40 seconds, whether it is read or, since its buffer is full, is not; nobody else notices it."""
    environment = {**EVERYWHERE, "IMC_GATEWAY_BUFFER_BYTES": str(buffer_bytes)}
    async with (
        small(push_nodes=(Start(environment),)) as deployment,
        load_small(deployment, apps=1, gateways=2, listed=0) as load,
    ):
        node = deployment.push_nodes[0]
        url = f"ws://{machine.here}:{node.port}/v1/gateways/{load.app_ids[0]}/far"
        command = machine.command(sys.executable, "-uc", GATEWAY, url)
        gateway = Child(command, {"PATH": os.environ["PATH"]})
        gateway.spawn()
        try:
            load.begin(disturb=False)
            await wait_until(lambda: is_pushed(gateway), 30, what="a push")
            machine.unplug()
            began = time.monotonic()
            await wait_until(lambda: are_there(node.url, 2), DROPPED_WITHIN_SECONDS, 0.5)
            print(f"a half-open gateway was dropped after {time.monotonic() - began:.0f} s")  # noqa: T201
        finally:
            await gateway.close()
        report = await judge(load, replay=False)
        assert report.is_clean, report
        assert len(load.history.connections) == 2


async def are_there(url: str, gateways: int) -> bool:
    async with httpx.AsyncClient(trust_env=False) as http:
        return f"imc_gateways {gateways:.1f}\n" in (await http.get(url + "/metrics")).text


def is_pushed(gateway: Child) -> bool:
    assert gateway.exit_code is None, gateway.log
    return '"code":2001' in gateway.log
