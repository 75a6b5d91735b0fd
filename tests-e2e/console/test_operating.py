"""An operator at work: what is slow is found, and what is wrong is mended, on a real installation."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from imc_contracts import names
from imc_testkit.deployment import Deployment, standalone
from imc_testkit.gateway import connect
from imc_testkit.waiting import wait_until
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed

from conftest import Client
from console.browser import Tab, tab

LARGE = "x" * 60_000


@pytest.fixture(scope="session")
async def on_servers(
    redis_url: str, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Deployment]:
    """An installation on a Redis and a database that tests can reach."""
    stores = {
        "IMC_REDIS_URL": redis_url,
        "IMC_DATABASE_URL": database_url,
        "IMC_GATEWAY_BUFFER_BYTES": "65536",
    }
    async with standalone(tmp_path_factory.mktemp("on-servers"), stores) as deployment:
        yield deployment


@pytest.fixture
async def console(browser: Any, on_servers: Deployment) -> AsyncGenerator[Tab]:
    async with tab(browser, on_servers.query_apis[0].url) as opened:
        yield opened


@pytest.fixture
def client(on_servers: Deployment, http: Any) -> Client:
    return Client(on_servers, http)


def stalled_connection(url: str, app_id: str, gateway_id: str) -> Any:
    """A gateway that reads only when it is asked to, and whose kernel takes little on its own."""
    host, port = url.removeprefix("http://").split(":")
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    narrow.connect((host, int(port)))
    narrow.setblocking(False)
    address = f"ws://{host}:{port}/v1/gateways/{app_id}/{gateway_id}"
    return connect_websocket(address, sock=narrow, max_queue=1, proxy=None, ping_interval=None)


async def test_the_lag_of_a_stalled_gateway_grows_until_it_is_disconnected(
    console: Tab, client: Client, app_id: str
):
    async with (
        connect(console.url, app_id, "quick") as quick,
        stalled_connection(console.url, app_id, "stalled") as stalled,
    ):
        await quick.wait_for_code(2000)
        assert '"code":2000' in await stalled.recv()
        await console.go(f"gateways?app={app_id}")
        rows = console.page.get_by_role("table", name="Gateways", exact=True).get_by_role("row")
        stalled_row = rows.filter(has_text="stalled")
        await stalled_row.get_by_text("live", exact=True).wait_for()

        async def lag() -> int:
            cell = await stalled_row.get_by_role("cell").nth(3).locator(".badge").all_inner_texts()
            return int(cell[0].replace(",", "")) if cell and cell[0][0].isdigit() else 0

        async def more_than(before: int) -> int | None:
            return found if (found := await lag()) > before else None

        async def send(count: int) -> None:
            await asyncio.gather(*(client.send(app_id, LARGE) for _ in range(count)))

        await send(150)
        await stalled_row.get_by_text("lagging").wait_for()
        first = await wait_until(lambda: more_than(0), 20)
        assert first is not None
        await send(20)
        await wait_until(lambda: more_than(first), 20)
        assert await rows.nth(1).get_by_text("stalled").count() == 1, "the most lag comes first"

        await console.button("Disconnect stalled").click()
        dialog = console.page.get_by_role("dialog", name="Disconnect stalled?")
        await dialog.get_by_label("Reason").fill("too slow")
        await dialog.get_by_role("button", name="Disconnect").click()
        await console.text("Disconnected stalled. Connections closed: 1.").wait_for()
        await stalled_row.wait_for(state="detached")
        closed = console.page.get_by_role("table", name="Closed in the last hour, and not back")
        await closed.get_by_role("row").filter(has_text="stalled").get_by_text("too slow").wait_for()
        with pytest.raises(ConnectionClosed):
            while True:
                await stalled.recv()
        await rows.filter(has_text="quick").get_by_text("live", exact=True).wait_for()


async def test_a_gateway_that_was_closed_for_no_progress_is_still_seen(
    console: Tab, client: Client, app_id: str, on_servers: Deployment
):
    async with stalled_connection(console.url, app_id, "stalled") as stalled:
        assert '"code":2000' in await stalled.recv()
        await asyncio.gather(*(client.send(app_id, LARGE) for _ in range(150)))
        await console.go(f"overview?app={app_id}")
        await console.text("behind. The worst: stalled").wait_for()
        await console.text("closed for no progress in the last hour, and not back").wait_for(timeout=60_000)
        await console.text("No gateway is behind.").wait_for()
        await console.page.get_by_role("link", name="Show them").click()
        closed = console.page.get_by_role("table", name="Closed in the last hour, and not back")
        row = closed.get_by_role("row").filter(has_text="stalled")
        await row.get_by_text("4408", exact=True).wait_for()
        await row.get_by_text("took nothing for 30 seconds", exact=True).wait_for()
        assert int((await row.locator(".badge").inner_text()).replace(",", "")) > 0
        stalled.transport.abort()
    async with connect(console.url, app_id, "stalled") as back:
        await back.wait_for_code(2000)
        await closed.wait_for(state="hidden")
        await console.page.get_by_role("row").filter(has_text="stalled").get_by_text("4408").wait_for()


async def test_a_gateway_learns_that_an_operator_disconnected_it_and_why(
    console: Tab, client: Client, app_id: str
):
    async with connect(console.url, app_id, "gateway-1") as gateway:
        await console.go(f"gateways?app={app_id}")
        await console.button("Disconnect gateway-1").click()
        await console.page.get_by_role("dialog").get_by_label("Reason").fill("maintenance")
        await console.page.get_by_role("dialog").get_by_role("button", name="Disconnect").click()
        assert await gateway.wait_closed() == 4410
    await console.text("No gateway is connected").wait_for()


async def test_a_gateway_that_has_left_meanwhile_is_told_of(console: Tab, app_id: str):
    async with connect(console.url, app_id, "gateway-1"):
        await console.go(f"gateways?app={app_id}")
        await console.button("Disconnect gateway-1").click()
    await wait_until(lambda: _is_gone(console, app_id))
    await console.page.get_by_role("dialog").get_by_role("button", name="Disconnect").click()
    await console.page.get_by_text("No such gateway is connected", exact=True).wait_for()


async def _is_gone(console: Tab, app_id: str) -> bool:
    reply = await console.page.request.get(f"{console.url}/v1/gateways?appId={app_id}")
    return (await reply.json())["data"]["gateways"] == []


async def test_sends_show_in_the_overview_and_among_the_apps(console: Tab, client: Client, app_id: str):
    await asyncio.gather(*(client.send(app_id, "hello") for _ in range(200)))
    await console.go("apps?order=id")
    await console.page.get_by_role("link", name=app_id, exact=True).click()
    await console.page.get_by_role("heading", name=f"The last hour of {app_id}").wait_for()
    accepted = console.page.locator(".chart-now dd").first

    async def is_counted() -> bool:
        text = await accepted.inner_text() if await accepted.count() else ""
        return text not in ("", "–", "0/s")

    await wait_until(is_counted, 60)
    await console.text("imc-standalone").first.wait_for()
    await console.text("All processes can do their work. Processes: ").wait_for()


async def test_a_dead_letter_is_replayed_and_one_that_fails_is_dropped(
    console: Tab, client: Client, app_id: str, redis: Any
):
    receipt = await client.send(app_id, "hello")
    [(entry, fields)] = await redis.xrange(names.log(app_id), receipt["cursor"].split(".")[1], count=1)
    for body in (fields[b"v"], b"no json"):
        letter = {"k": fields[b"k"], "v": body, "id": entry, "reason": "the table was full", "time": 7}
        await redis.xadd(names.dead_letters(app_id), letter)
    await console.go(f"dead-letters?app={app_id}")
    letters = console.page.get_by_role("table").get_by_role("checkbox")
    await letters.nth(1).wait_for()
    assert await console.text("the table was full").count() == 2
    assert await console.text("hello").count() == 0
    await console.button("Choose all").click()
    await console.button("Replay").click()
    await console.page.get_by_role("dialog").get_by_role("button", name="Replay").click()
    await console.text("Replayed: 1").wait_for()
    await console.text("These could not be done").wait_for()
    await letters.nth(1).wait_for(state="detached")
    await letters.check()
    await console.button("Drop").click()
    await console.page.get_by_role("dialog").get_by_role("button", name="Drop").click()
    await console.text("No dead letters").wait_for()
    assert await redis.xlen(names.dead_letters(app_id)) == 0
