"""The gauges of a node say what is so just now."""

import asyncio
from typing import Any

import httpx
import pytest
from imc_contracts.codes import CloseCode
from imc_push_node.stream.log_reader import LogReader
from imc_testkit.gateway import connect
from imc_testkit.waiting import wait_until

CONNECTED, LAGGING, RESUMING = "imc_gateways", "imc_gateways_lagging", "imc_gateways_resuming"


async def are(node: Any, connected: int, lagging: int, resuming: int) -> bool:
    async with httpx.AsyncClient(trust_env=False) as http:
        lines = (await http.get(node.url + "/metrics")).text.splitlines()
    expected = {CONNECTED: connected, LAGGING: lagging, RESUMING: resuming}
    return all(f"{name} {value:.1f}" in lines for name, value in expected.items())


async def test_gateways_that_read_from_the_database_are_counted(
    start_node: Any, app_log: Any, query_api: Any
) -> None:
    node = await start_node(query_api_url=query_api.url)
    cursors = await app_log.send(5)
    await app_log.trim(cursors[-1])
    query_api.gate.clear()
    assert await are(node, 0, 0, 0)
    async with connect(node.url, app_log.app_id, "stays", cursor=str(cursors[0])) as staying:
        await wait_until(lambda: are(node, 1, 0, 1))
        async with connect(node.url, app_log.app_id, "leaves", cursor=str(cursors[0])):
            await wait_until(lambda: are(node, 2, 0, 2))
            node.gateway(app_log.app_id, "leaves").socket.close(CloseCode.NODE_RESTARTS)
        await wait_until(lambda: are(node, 1, 0, 1))
        query_api.gate.set()
        await staying.wait_for_code(2001, 4)
        await wait_until(lambda: are(node, 1, 0, 0))
    await wait_until(lambda: are(node, 0, 0, 0))


async def test_gateways_that_read_from_the_log_are_counted(
    start_node: Any, app_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await start_node()
    cursors = await app_log.send(5)
    goes_on, after = asyncio.Event(), LogReader.after

    async def after_a_wait(reader: LogReader, *arguments: Any) -> Any:
        await goes_on.wait()
        return await after(reader, *arguments)

    async with connect(node.url, app_log.app_id, "live") as live:
        await live.wait_for_code(2000)
        monkeypatch.setattr(LogReader, "after", after_a_wait)
        async with connect(node.url, app_log.app_id, "stays", cursor=str(cursors[0])) as staying:
            await wait_until(lambda: are(node, 2, 1, 0))
            async with connect(node.url, app_log.app_id, "leaves", cursor=str(cursors[0])):
                await wait_until(lambda: are(node, 3, 2, 0))
                node.gateway(app_log.app_id, "leaves").socket.close(CloseCode.NODE_RESTARTS)
            await wait_until(lambda: are(node, 2, 1, 0))
            goes_on.set()
            await staying.wait_for_code(2001, 4)
            await wait_until(lambda: are(node, 2, 0, 0))
    await wait_until(lambda: are(node, 0, 0, 0))
