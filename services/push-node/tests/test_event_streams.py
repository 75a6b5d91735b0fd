"""The event stream of a gateway: its bytes, its order, and its end."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from imc_contracts.codes import CloseCode
from imc_contracts.events import message_sent
from imc_push_node.gateway import frames
from imc_push_node.gateway.gateway import State
from imc_push_node.stream.log_reader import PAGE
from imc_testkit.events import EventStream, path_of, stream
from imc_testkit.gateway import connect
from imc_testkit.policies import FileOfApps, policies_text
from imc_testkit.tokens import SECRET, SERVICE_SECRET, token
from imc_testkit.waiting import wait_until

WITH_TOKENS = {"auth": "jwt", "jwt_secret": SECRET, "service_secret": SERVICE_SECRET}
LARGE = "x" * 60_000
ENOUGH = 150
"""So many large messages fill the buffers of kernel and node."""


class Raw:
    """A client that takes bytes as they come, and only if it is asked to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def head(self) -> list[bytes]:
        return (await self.reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]

    async def block(self) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.readuntil(b"\n\n")


@contextlib.asynccontextmanager
async def opened(url: str, target: str, version: str = "1.1", limit: int = 2**16) -> AsyncGenerator[Raw]:
    """A stream that is asked for by hand; ``limit`` is how much its client takes without being asked."""
    host, port = url.removeprefix("http://").split(":")
    raw = Raw(*await asyncio.open_connection(host, int(port), limit=limit))
    lines = [f"GET {target} HTTP/{version}", f"Host: {host}", "Accept: text/event-stream", "", ""]
    raw.writer.write("\r\n".join(lines).encode())
    try:
        yield raw
    finally:
        raw.writer.close()
        with contextlib.suppress(ConnectionError):
            await raw.writer.wait_closed()


OpenRaw = Callable[..., Awaitable[Raw]]


@pytest.fixture
async def open_raw() -> AsyncGenerator[OpenRaw]:
    """Opens streams as `opened` does, until the test ends."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_raw(*arguments: Any, **options: Any) -> Raw:
            return await stack.enter_async_context(opened(*arguments, **options))

        yield open_raw


async def is_live(node: Any, app_id: str) -> None:
    await wait_until(
        lambda: any(each.app_id == app_id and each.state is State.LIVE for each in gateways_of(node))
    )


def gateways_of(node: Any) -> list[Any]:
    return node.push_node.connections.hub.gateways


async def has_left(node: Any, app_id: str) -> None:
    await wait_until(lambda: node.app(app_id).delivery.is_deserted)


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_its_bytes(start_node: Any, app_log: Any, open_raw: OpenRaw, version: str) -> None:
    node = await start_node(drain_seconds=0)
    (start,) = await app_log.send()
    message = app_log.message('a\nb\r\u2028"\\ \U0001f600 data: 1')
    raw = await open_raw(node.url, path_of(app_log.app_id, "raw") + "?notices=1", version=version)
    status, *fields = await raw.head()
    assert status == b"HTTP/1.1 200 OK"
    headers = dict(field.lower().split(b": ") for field in fields)
    for name in (b"date", b"server"):  # what uvicorn adds, and our servers leave out
        headers.pop(name, None)
    assert headers == {
        b"content-type": b"text/event-stream",
        b"connection": b"close",
        b"vary": b"accept",
        b"x-accel-buffering": b"no",
        b"cache-control": b"no-store",
        b"x-content-type-options": b"nosniff",
    }
    assert await raw.block() == b"retry: 1000\n\n"
    assert await raw.block() == (
        b'id: %b\ndata: {"success":true,"code":2000,"message":"connected","data":"connection successful",'
        b'"cursor":"%b","recovered":false}\n\n' % ((str(start).encode(),) * 2)
    )
    event = message_sent(message)
    (sent,) = await app_log.append(event)
    assert await raw.block() == (
        b'id: %b\ndata: {"success":true,"code":2001,"message":"new message","data":%b,"cursor":"%b"}\n\n'
        % (str(sent).encode(), event.body, str(sent).encode())
    )
    for cursor, code in zip(await app_log.notices(), (2004, 2005), strict=True):
        block = await raw.block()
        assert block.startswith(b'id: %b\ndata: {"success":true,"code":%d,' % (str(cursor).encode(), code))
        assert block.endswith(b',"cursor":"%b"}\n\n' % str(cursor).encode())
    await node.push_node.drain.run()
    assert await raw.block() == (
        b'data: {"success":false,"code":1012,"message":"the node restarts","data":{"retryable":true}}\n\n'
    )
    assert await raw.reader.read() == b""


async def test_it_holds_what_a_websocket_is_pushed(node: Any, app_log: Any) -> None:
    (start,) = await app_log.send()
    await app_log.send(PAGE + 5)
    async with (
        connect(node.url, app_log.app_id, "socket", cursor=str(start), notices=True) as socket,
        stream(node.url, app_log.app_id, "stream", cursor=start, notices=1) as events,
    ):
        await events.wait_for_code(2001, PAGE + 5)
        recalled = app_log.message("taken back")
        await app_log.append(message_sent(recalled))
        await app_log.recall(recalled)
        await app_log.notices()
        await app_log.send(3, publish=False)
        await app_log.send(3)
        for each in (socket, events):
            await each.wait_for_code(2001, PAGE + 12)
        assert events.frames == socket.frames
        assert events.ids == [frame["cursor"] for frame in events.frames]


async def test_entries_are_encoded_once_for_all_streams_and_polls(
    node: Any, app_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[tuple[str, int]] = []

    def counted(push_format: Any, epoch: str, entries: Any) -> list[bytes]:
        encoded.append((push_format.encoding, len(entries)))
        return frames.pushes(push_format, epoch, entries)

    async with (
        stream(node.url, app_log.app_id, "one") as one,
        stream(node.url, app_log.app_id, "two", notices=1) as two,
    ):
        for each in (one, two):
            await each.wait_for_code(2000)
        monkeypatch.setattr("imc_push_node.stream.framed_entries.pushes", counted)
        await app_log.send(3)
        for each in (one, two):
            await each.wait_for_code(2001, 3)
    assert encoded == [("events", 3)]


async def test_the_last_event_id_is_where_it_goes_on(node: Any, app_log: Any) -> None:
    first, second, third = await app_log.send(3)
    headers = {"Last-Event-ID": str(second)}
    async with stream(node.url, app_log.app_id, "one", cursor=first, headers=headers) as events:
        await events.wait_for_code(2001)
        assert events.ids == [str(second), str(third)]
        assert events.frames[0]["recovered"] is True
    async with stream(node.url, app_log.app_id, "one", cursor=first, headers={"Last-Event-ID": ""}) as events:
        await events.wait_for_code(2001, 2)
    with pytest.raises(httpx.HTTPStatusError) as refused:
        async with stream(node.url, app_log.app_id, "one", headers={"Last-Event-ID": "nonsense"}):
            pass
    assert refused.value.response.json()["message"].startswith("Last-Event-ID is not valid: it must be ")


async def test_a_gap_moves_the_id_only_once_it_is_told(node: Any, app_log: Any) -> None:
    """Whoever is cut off between the 2000 and the 4002 comes back with the cursor of before."""
    *_, newest = await app_log.send(3)
    lost = "0f0f0f0f.1-0"
    async with stream(node.url, app_log.app_id, "one", cursor=lost) as events:
        (gap,) = await events.wait_for_code(4002)
        assert gap["data"] == {"from": lost, "to": str(newest)}
        assert [frame["code"] for frame in events.frames] == [2000, 4002]
        assert events.ids == [lost, str(newest)]
        assert (events.frames[0]["cursor"], events.frames[0]["recovered"]) == (str(newest), False)


async def test_a_log_that_is_lost_is_a_gap_for_live_streams(node: Any, app_log: Any) -> None:
    await app_log.send(3)
    async with (
        stream(node.url, app_log.app_id, "one") as events,
        connect(node.url, app_log.app_id, "two") as socket,
    ):
        for each in (events, socket):
            await each.wait_for_code(2000)
        await app_log.end()
        await app_log.send()
        for each in (events, socket):
            await each.wait_for_code(4002)
            await app_log.send()
            await each.wait_for_code(2001)
        (gap,) = events.with_code(4002)
        assert gap == socket.with_code(4002)[0]
        assert gap["data"]["to"] in events.ids


class TestTakeover:
    @pytest.mark.parametrize("nodes", [1, 2])
    async def test_the_newer_stays(self, start_node: Any, app_log: Any, nodes: int) -> None:
        first = await start_node()
        second = first if nodes == 1 else await start_node()
        async with stream(first.url, app_log.app_id, "one") as older:
            await older.wait_for_code(2000)
            async with stream(second.url, app_log.app_id, "one") as newer:
                await newer.wait_for_code(2000)
                assert await older.wait_closed() == 4409
                assert older.frames[-1]["data"] == {"retryable": False}
                assert older.ids[-1] is None
                async with connect(first.url, app_log.app_id, "one") as socket:
                    assert await newer.wait_closed() == 4409
                    await socket.wait_for_code(2000)
                    async with stream(second.url, app_log.app_id, "one") as newest:
                        assert await socket.wait_closed() == 4409
                        await newest.wait_for_code(2000)
                        await app_log.send()
                        await newest.wait_for_code(2001)

    async def test_an_operator_ends_it(self, node: Any, app_log: Any) -> None:
        async with stream(node.url, app_log.app_id, "one") as events:
            await events.wait_for_code(2000)
            async with httpx.AsyncClient(base_url=node.url, trust_env=False) as client:
                path = path_of(app_log.app_id, "one").replace("/events", "/disconnect")
                assert (await client.post(path)).json()["data"] == {"disconnected": 1}
            assert await events.wait_closed() == 4410


class TestSlowReaders:
    async def test_one_costs_others_nothing_and_gets_everything(
        self, start_node: Any, app_log: Any, open_raw: OpenRaw
    ) -> None:
        node = await start_node(gateway_buffer_bytes=65_536)
        slow = await open_raw(node.url, path_of(app_log.app_id, "slow"), limit=1024)
        async with stream(node.url, app_log.app_id, "quick") as quick:
            await quick.wait_for_code(2000)
            await self.fill(node, app_log, quick)
            gateway = node.gateway(app_log.app_id, "slow")
            assert gateway.state is State.LAGGING
            assert gateway.socket.transport.get_write_buffer_size() < 1_000_000
            late = await self.read_on(slow, ENOUGH)
            await app_log.send()
            await quick.wait_for_code(2001, ENOUGH + 1)
            rest = await self.read_on(slow, 1)
            assert [frame for frame in late + rest if frame["code"] == 2001] == quick.with_code(2001)
            assert gateway.state is State.LIVE
        slow.writer.close()

    async def test_one_that_takes_nothing_is_closed(
        self, start_node: Any, app_log: Any, open_raw: OpenRaw
    ) -> None:
        node = await start_node(gateway_buffer_bytes=65_536, stall_seconds=1)
        await open_raw(node.url, path_of(app_log.app_id, "slow"), limit=1024)
        async with stream(node.url, app_log.app_id, "quick") as quick:
            await quick.wait_for_code(2000)
            await wait_until(lambda: len(node.push_node.connections.hub.gateways) == 2)
            socket = node.gateway(app_log.app_id, "slow").socket
            for index in range(ENOUGH):
                await app_log.append(message_sent(app_log.message(f"{index} {LARGE}")))
            await wait_until(lambda: len(node.push_node.connections.hub.gateways) == 1)
            assert socket.ending == (CloseCode.NO_PROGRESS, "no progress: took nothing for 1 seconds")
            await quick.wait_for_code(2001, ENOUGH)

    async def fill(self, node: Any, app_log: Any, quick: EventStream) -> None:
        for index in range(ENOUGH):
            await app_log.append(message_sent(app_log.message(f"{index} {LARGE}")))
        await quick.wait_for_code(2001, ENOUGH)
        delivery = node.app(app_log.app_id).delivery
        await wait_until(lambda: delivery.number_in(State.LAGGING) == 1)

    async def read_on(self, raw: Raw, pushes: int) -> list[dict[str, Any]]:
        """Read until so many messages have come."""
        read, rest = EventStream(), b""
        async with asyncio.timeout(30):
            while len(read.with_code(2001)) < pushes:
                *blocks, rest = (rest + await raw.reader.read(100_000)).split(b"\n\n")
                for block in blocks:
                    read.take(block)
        assert not rest
        return read.frames


class TestItsEnd:
    async def test_a_client_that_leaves(self, node: Any, app_log: Any, open_raw: OpenRaw) -> None:
        raw = await open_raw(node.url, path_of(app_log.app_id, "one"))
        await raw.head()
        await is_live(node, app_log.app_id)
        raw.writer.close()
        await has_left(node, app_log.app_id)

    async def test_what_its_client_sends_beyond_is_discarded(
        self, node: Any, app_log: Any, open_raw: OpenRaw
    ) -> None:
        target = path_of(app_log.app_id, "one")
        raw = await open_raw(node.url, target)
        raw.writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" + b"x" * 200_000)
        assert (await raw.head())[0] == b"HTTP/1.1 200 OK"
        await raw.block()
        assert json.loads((await raw.block()).partition(b"data: ")[2])["code"] == 2000
        raw.writer.write(b"x" * 200_000)
        await app_log.send()
        assert json.loads((await raw.block()).partition(b"data: ")[2])["code"] == 2001
        raw.writer.close()
        await has_left(node, app_log.app_id)

    async def test_a_heartbeat_keeps_it_open(self, start_node: Any, app_log: Any) -> None:
        node = await start_node(ping_seconds=0.2)
        async with stream(node.url, app_log.app_id, "one") as events:
            await wait_until(lambda: events.comments >= 3)
            await app_log.send()
            await events.wait_for_code(2001)
            assert events.close_code is None

    async def test_a_node_that_drains_lets_none_in(self, start_node: Any, app_log: Any) -> None:
        node = await start_node(drain_seconds=0)
        async with stream(node.url, app_log.app_id, "one") as events:
            await events.wait_for_code(2000)
            await node.push_node.drain.run()
            assert await events.wait_closed() == 1012
            assert events.frames[-1]["data"] == {"retryable": True}
        # 200, since a browser comes back by itself after no other status.
        async with stream(node.url, app_log.app_id, "one") as newcomer:
            assert await newcomer.wait_closed() == 1012
            assert [frame["code"] for frame in newcomer.frames] == [4000, 1012]

    async def test_its_token_expires(self, start_node: Any, app_id: str) -> None:
        node = await start_node(**WITH_TOKENS)
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            async with stream(node.url, app_id, "one"):
                pass
        async with stream(node.url, app_id, "one", access_token=token(app_id, "gateway", 1.5)) as events:
            await events.wait_for_code(2000)
            assert await events.wait_closed() == 4401

    async def test_its_token_is_revoked(self, start_node: Any, app_id: str, tmp_path: Path) -> None:
        file = FileOfApps(tmp_path / "apps.toml")
        node = await start_node(**WITH_TOKENS, apps_file=str(file.path))
        granted = token(app_id, "gateway", jti="stolen")
        async with stream(node.url, app_id, "one", access_token=granted) as events:
            await events.wait_for_code(2000)
            file.write(policies_text({app_id: {"revoked": [{"jti": "stolen"}]}}))
            assert await events.wait_closed() == 4401

    async def test_its_app_is_suspended(self, start_node: Any, app_id: str, tmp_path: Path) -> None:
        file = FileOfApps(tmp_path / "apps.toml")
        node = await start_node(apps_file=str(file.path))
        async with stream(node.url, app_id, "one") as events:
            await events.wait_for_code(2000)
            file.write(policies_text({app_id: {"suspended": True}}))
            assert await events.wait_closed() == 4403


async def test_the_roster_tells_its_transport(node: Any, app_log: Any) -> None:
    async with (
        stream(node.url, app_log.app_id, "stream") as events,
        connect(node.url, app_log.app_id, "socket") as socket,
        httpx.AsyncClient(base_url=node.url, trust_env=False) as client,
    ):
        await events.wait_for_code(2000)
        await socket.wait_for_code(2000)
        poll = asyncio.create_task(client.get(path_of(app_log.app_id, "poll"), params={"wait": 30}))

        async def transports() -> bool:
            reply = await client.get("/v1/gateways", params={"appId": app_log.app_id})
            found = {each["gatewayId"]: each["transport"] for each in reply.json()["data"]["gateways"]}
            return (
                found == {each: each if each != "socket" else "websocket" for each in found}
                and len(found) == 3
            )

        await wait_until(transports, what="the rows of all three")
        await app_log.send()
        assert (await poll).status_code == 200


async def test_streams_and_handshakes_are_counted(start_node: Any, app_id: str) -> None:
    node = await start_node()
    async with (
        stream(node.url, app_id, "one") as events,
        httpx.AsyncClient(base_url=node.url, trust_env=False) as client,
    ):
        await events.wait_for_code(2000)
        metrics = (await client.get("/metrics")).text
    path = 'path="/v1/gateways/{appId}/{gatewayId}/events"'
    assert f'imc_http_requests_total{{{path},status="200"}} 1.0' in metrics
    assert "imc_gateways 1.0" in metrics


async def test_addresses_are_counted_until_the_stream_ends(
    start_node: Any, app_id: str, open_raw: OpenRaw
) -> None:
    node = await start_node(max_connections_per_address=1)
    raw = await open_raw(node.url, path_of(app_id, "one"))
    assert (await raw.head())[0].endswith(b"200 OK")
    other = await open_raw(node.url, path_of(app_id, "two"))
    assert (await other.head())[0].endswith(b"503 Service Unavailable")
    raw.writer.close()

    async def is_let_in() -> bool:
        again = await open_raw(node.url, path_of(app_id, "two"))
        status = (await again.head())[0]
        again.writer.close()
        return status.endswith(b"200 OK")

    await wait_until(is_let_in, interval=0.05)
