"""Gateways that take their pushes slowly, or not at all."""

import asyncio
import socket
from typing import Any

from imc_contracts.events import message_sent
from imc_push_node.gateway.gateway import State
from imc_testkit.gateway import Gateway, connect
from imc_testkit.waiting import wait_until
from websockets.asyncio.client import connect as connect_websocket

LARGE = "x" * 60_000
ENOUGH = 150
"""So many large messages fill the buffers of kernel and node."""


def narrow_socket(url: str) -> socket.socket:
    """A socket whose kernel takes little on its own."""
    host, port = url.removeprefix("http://").split(":")
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    narrow.connect((host, int(port)))
    narrow.setblocking(False)
    return narrow


def slow_connection(url: str, app_id: str, gateway_id: str) -> Any:
    """A gateway that reads only when it is asked to."""
    address = f"ws{url.removeprefix('http')}/v1/gateways/{app_id}/{gateway_id}"
    return connect_websocket(address, sock=narrow_socket(url), max_queue=1, proxy=None, ping_interval=None)


def lagging(node: Any, app_id: str) -> int:
    return node.app(app_id).delivery.number_in(State.LAGGING)


async def test_a_slow_gateway_costs_others_nothing_and_gets_everything(start_node: Any, app_log: Any) -> None:
    node = await start_node(gateway_buffer_bytes=65_536)
    async with (
        slow_connection(node.url, app_log.app_id, "slow") as slow,
        connect(node.url, app_log.app_id, "quick") as quick,
    ):
        await quick.wait_for_code(2000)
        assert '"code":2000' in await slow.recv()
        messages = [app_log.message(f"{index} {LARGE}") for index in range(ENOUGH)]
        for message in messages:
            await app_log.append(message_sent(message))
        await quick.wait_for_code(2001, ENOUGH)
        await wait_until(lambda: lagging(node, app_log.app_id) == 1)
        slow_gateway = Gateway(slow)
        reading = asyncio.create_task(slow_gateway.keep_reading())
        await slow_gateway.wait_for_code(2001, ENOUGH)
        await wait_until(lambda: lagging(node, app_log.app_id) == 0)
        await app_log.send()
        await slow_gateway.wait_for_code(2001, ENOUGH + 1)
        await quick.wait_for_code(2001, ENOUGH + 1)
        assert slow_gateway.with_code(2001) == quick.with_code(2001)
        await slow.close()
        await reading


async def test_what_was_recalled_meanwhile_is_not_shown_to_a_slow_gateway(
    start_node: Any, app_log: Any
) -> None:
    node = await start_node(gateway_buffer_bytes=65_536)
    async with slow_connection(node.url, app_log.app_id, "slow") as slow:
        assert '"code":2000' in await slow.recv()
        for index in range(ENOUGH):
            await app_log.append(message_sent(app_log.message(f"{index} {LARGE}")))
        await wait_until(lambda: lagging(node, app_log.app_id) == 1)
        secret = app_log.message("secret")
        await app_log.append(message_sent(secret))
        await app_log.recall(secret)
        gateway = Gateway(slow)
        reading = asyncio.create_task(gateway.keep_reading())
        await gateway.wait_for_code(2002)
        (shown,) = [f for f in gateway.with_code(2001) if f["data"]["messageId"] == secret["messageId"]]
        assert shown["data"]["content"] == ""
        assert len(gateway.with_code(2001)) == ENOUGH + 1
        await slow.close()
        await reading


async def test_a_gateway_that_takes_nothing_is_closed(start_node: Any, app_log: Any) -> None:
    node = await start_node(gateway_buffer_bytes=65_536, stall_seconds=1)
    async with connect(node.url, app_log.app_id, "quick") as quick:
        slow = await slow_connection(node.url, app_log.app_id, "slow")
        await quick.wait_for_code(2000)
        for index in range(ENOUGH):
            await app_log.append(message_sent(app_log.message(f"{index} {LARGE}")))
        await quick.wait_for_code(2001, ENOUGH)
        hub = node.push_node.connections.hub
        await wait_until(lambda: len(hub.gateways) == 1)
        # It reads on at last: first what was on its way, then the reason.
        gateway = Gateway(slow)
        await gateway.keep_reading()
        assert gateway.close_code == 4408
        assert 0 < len(gateway.with_code(2001)) < ENOUGH
        await app_log.send()
        await quick.wait_for_code(2001, ENOUGH + 1)


async def test_answers_to_its_own_frames_are_bounded_too(start_node: Any, app_log: Any) -> None:
    """A gateway that writes what is refused, and reads no refusal, is read no further at some time."""
    node = await start_node(gateway_buffer_bytes=65_536, max_bad_frames_per_minute=10**9)
    slow = await slow_connection(node.url, app_log.app_id, "slow")
    await slow.recv()
    gateway = node.gateway(app_log.app_id, "slow")
    frame = "[" + ",".join(["5"] * 500) + "]"
    progress = [0.0]

    async def write() -> None:
        while True:
            await slow.send(frame)
            progress.append(asyncio.get_running_loop().time())

    def stands_still() -> bool:
        return gateway.socket.is_full and asyncio.get_running_loop().time() - progress[-1] > 0.5

    writing = asyncio.create_task(write())
    await wait_until(stands_still)
    # Not more than the answers to what one read of the socket holds.
    assert gateway.socket.transport.get_write_buffer_size() < 20_000_000
    writing.cancel()
    slow.transport.abort()
    await slow.wait_closed()
