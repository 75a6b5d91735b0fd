"""The events of an app page by page, and polls that wait for them."""

import asyncio
import contextlib
import socket
import struct
from pathlib import Path
from typing import Any

import httpx
import pytest
from imc_contracts import names
from imc_contracts.events import message_sent
from imc_push_node.gateway.event_page import EventPage
from imc_push_node.stream.log_reader import PAGE
from imc_testkit.events import path_of, read_page, stream
from imc_testkit.gateway import Frame, connect
from imc_testkit.policies import FileOfApps, quotas_text
from imc_testkit.tokens import SECRET, SERVICE_SECRET, bearer, token
from imc_testkit.waiting import wait_until

WITH_TOKENS = {"auth": "jwt", "jwt_secret": SECRET, "service_secret": SERVICE_SECRET}


async def page(url: str, app_id: str, gateway_id: str = "pages", **query: Any) -> dict[str, Any]:
    reply = await read_page(url, app_id, gateway_id, **query)
    assert reply.status_code == 200, reply.text
    assert reply.json()["success"] is True
    return reply.json()["data"]


async def refusal(url: str, app_id: str, gateway_id: str = "pages", **query: Any) -> tuple[int, int, str]:
    reply = await read_page(url, app_id, gateway_id, **query)
    body = reply.json()
    assert (body["success"], body["data"]) == (False, None)
    return reply.status_code, body["code"], body["message"]


async def all_events(url: str, app_id: str, cursor: Any, **query: Any) -> list[Frame]:
    """The events of all pages after a cursor."""
    events: list[Frame] = []
    while True:
        read = await page(url, app_id, cursor=cursor, **query)
        assert read["recovered"] is True
        events += read["events"]
        cursor = read["cursor"]
        if not read["hasMore"]:
            return events


def contents(read: dict[str, Any]) -> list[str]:
    return [event["data"]["content"] for event in read["events"]]


async def test_without_a_cursor_it_says_where_now_is(node: Any, app_log: Any) -> None:
    *_, newest = await app_log.send(3)
    now = {"events": [], "cursor": str(newest), "hasMore": False, "recovered": False}
    assert await page(node.url, app_log.app_id) == now
    assert await page(node.url, app_log.app_id, cursor=newest) == now | {"recovered": True}


async def test_nothing_between_two_pages_is_missed(node: Any, app_log: Any) -> None:
    """Also while the log has no entry."""
    first = await page(node.url, app_log.app_id)
    await app_log.send(2)
    second = await page(node.url, app_log.app_id, cursor=first["cursor"])
    assert (contents(second), second["recovered"]) == (["1", "2"], True)


@pytest.mark.parametrize("notices", [0, 1])
async def test_pages_hold_what_a_websocket_is_pushed(node: Any, app_log: Any, notices: int) -> None:
    (start,) = await app_log.send()
    recalled = app_log.message("taken back")
    await app_log.append(message_sent(recalled))
    await app_log.send(PAGE + 10)
    await app_log.notices()
    await app_log.recall(recalled)
    await app_log.send(20)
    async with connect(
        node.url, app_log.app_id, "socket", cursor=str(start), notices=bool(notices)
    ) as gateway:
        await gateway.wait_for_code(2001, PAGE + 31)
        expected = gateway.frames[1:]
        for limit in (97, 500):
            read = await all_events(node.url, app_log.app_id, start, limit=limit, notices=notices)
            assert read == expected
    assert len(expected) == PAGE + 32 + 2 * notices


@pytest.mark.parametrize(("count", "has_more"), [(4, False), (5, False), (6, True)])
async def test_a_page_tells_whether_there_is_more(
    node: Any, app_log: Any, count: int, has_more: bool
) -> None:
    (start,) = await app_log.send()
    cursors = await app_log.send(count)
    read = await page(node.url, app_log.app_id, cursor=start, limit=5)
    assert (len(read["events"]), read["hasMore"]) == (min(count, 5), has_more)
    assert read["cursor"] == read["events"][-1]["cursor"] == str(cursors[min(count, 5) - 1])


async def test_a_page_is_bounded_in_bytes_and_never_empty(start_node: Any, app_log: Any) -> None:
    node = await start_node(gateway_buffer_bytes=100_000)
    (start,) = await app_log.send()
    contents_sent = ["x" * 30_000, "y" * 30_000, "z" * 60_000, "\u0001" * 60_000, "w"]
    await app_log.append(*(message_sent(app_log.message(text)) for text in contents_sent))
    sizes, read = list[int](), {"hasMore": True, "cursor": str(start)}
    received: list[str] = []
    while read["hasMore"]:
        read = await page(node.url, app_log.app_id, cursor=read["cursor"])
        sizes.append(len(read["events"]))
        received += contents(read)
    assert sizes == [2, 1, 1, 1]
    assert received == contents_sent


async def test_a_cursor_goes_past_what_is_left_out(node: Any, app_log: Any) -> None:
    (start,) = await app_log.send()
    *_, end = await app_log.notices()
    read = await page(node.url, app_log.app_id, cursor=start)
    assert read == {"events": [], "cursor": str(end), "hasMore": False, "recovered": True}


async def test_a_gap_is_an_event(node: Any, app_log: Any) -> None:
    cursors = await app_log.send(3)
    read = await page(node.url, app_log.app_id, cursor="0f0f0f0f.1-0")
    (gap,) = read["events"]
    assert (gap["code"], gap["data"]) == (4002, {"from": "0f0f0f0f.1-0", "to": str(cursors[-1])})
    assert (read["cursor"], read["recovered"], read["hasMore"]) == (str(cursors[-1]), False, False)


async def test_what_the_log_has_forgotten_comes_from_the_database(
    start_node: Any, app_log: Any, query_api: Any
) -> None:
    node = await start_node(query_api_url=query_api.url)
    cursors = await app_log.send(600)
    await app_log.trim(cursors[500])
    read = await all_events(node.url, app_log.app_id, cursors[0], limit=90)
    assert [event["cursor"] for event in read] == [str(cursor) for cursor in cursors[1:]]
    assert query_api.calls


async def test_recalled_content_is_not_shown(node: Any, app_log: Any) -> None:
    (start,) = await app_log.send()
    secret = app_log.message("secret")
    await app_log.append(message_sent(secret))
    assert contents(await page(node.url, app_log.app_id, cursor=start)) == ["secret"]
    await app_log.recall(secret)
    read = await page(node.url, app_log.app_id, cursor=start)
    assert [(event["code"], event["data"]["content"]) for event in read["events"]] == [(2001, ""), (2002, "")]


class TestWaiting:
    async def test_an_event_ends_it(self, node: Any, app_log: Any) -> None:
        (start,) = await app_log.send()
        waiting = asyncio.create_task(page(node.url, app_log.app_id, cursor=start, wait=30))
        await self.is_live(node, app_log)
        await app_log.send()
        assert contents(await asyncio.wait_for(waiting, 10)) == ["2"]

    async def test_what_is_there_is_not_waited_for(self, node: Any, app_log: Any) -> None:
        (start, *_) = await app_log.send(3)
        read = await asyncio.wait_for(page(node.url, app_log.app_id, cursor=start, wait=30), 10)
        assert contents(read) == ["2", "3"]

    async def test_it_ends_without_an_event(self, node: Any, app_log: Any) -> None:
        (start,) = await app_log.send()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        read = await page(node.url, app_log.app_id, cursor=start, wait=1)
        assert loop.time() - begun >= 1
        assert read == {"events": [], "cursor": str(start), "hasMore": False, "recovered": True}

    async def test_a_newer_connection_replaces_it(self, node: Any, app_log: Any) -> None:
        waiting = asyncio.create_task(refusal(node.url, app_log.app_id, wait=30))
        await self.is_live(node, app_log)
        async with connect(node.url, app_log.app_id, "pages") as gateway:
            status, code, _ = await asyncio.wait_for(waiting, 10)
            assert (status, code) == (409, 40905)
            await gateway.wait_for_code(2000)
            await page(node.url, app_log.app_id)
            assert await gateway.wait_closed() == 4409

    async def test_an_operator_ends_it(self, node: Any, app_log: Any) -> None:
        waiting = asyncio.create_task(refusal(node.url, app_log.app_id, wait=30))
        await self.is_live(node, app_log)
        async with httpx.AsyncClient(base_url=node.url, trust_env=False) as client:
            path = path_of(app_log.app_id, "pages").replace("/events", "/disconnect")
            reply = await client.post(path, json={"reason": "enough"})
            assert reply.json()["data"] == {"disconnected": 1}
        assert await asyncio.wait_for(waiting, 10) == (403, 40301, "enough")

    async def test_a_drain_ends_it_with_what_there_is(self, start_node: Any, app_log: Any) -> None:
        node = await start_node(drain_seconds=0)
        (start,) = await app_log.send()
        waiting = asyncio.create_task(page(node.url, app_log.app_id, cursor=start, wait=30))
        await self.is_live(node, app_log)
        await node.push_node.drain.run()
        read = await asyncio.wait_for(waiting, 10)
        assert (read["events"], read["cursor"], read["hasMore"]) == ([], str(start), True)
        reply = await read_page(node.url, app_log.app_id, "pages")
        assert (reply.status_code, reply.json()["code"]) == (503, 50301)
        assert "Retry-After" in reply.headers

    async def test_a_connection_that_is_reset_ends_it(self, node: Any, app_log: Any) -> None:
        host, port = node.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET {path_of(app_log.app_id, 'pages')}?wait=30 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await self.is_live(node, app_log)
        at_once = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        writer.transport.abort()
        await wait_until(lambda: node.app(app_log.app_id).delivery.is_deserted)

    async def test_polls_are_not_among_the_requests_in_flight(self, start_node: Any, app_log: Any) -> None:
        node = await start_node(max_requests_in_flight=2)
        hub = node.push_node.connections.hub
        polls: list[asyncio.Task[dict[str, Any]]] = []
        for index in range(1, 5):
            asked = page(node.url, app_log.app_id, f"poll-{index}", wait=30)
            polls.append(asyncio.create_task(asked))
            await wait_until(
                lambda index=index: [each.socket.is_live for each in hub.gateways] == [True] * index
            )
        await page(node.url, app_log.app_id)
        await app_log.send()
        assert [contents(read) for read in await asyncio.gather(*polls)] == [["1"]] * 4

    async def is_live(self, node: Any, app_log: Any) -> None:
        def is_live() -> bool:
            apps = [app for app in node.push_node.connections.hub.apps if app.app_id == app_log.app_id]
            return any(gateway.socket.is_live for app in apps for gateway in app.delivery.gateways)

        await wait_until(is_live)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"cursor": "nonsense"}, "cursor "),
        ({"limit": 0}, "limit "),
        ({"limit": 501}, "limit "),
        ({"limit": "many"}, "limit "),
        ({"wait": -1}, "wait "),
        ({"wait": 31}, "wait "),
        ({"wait": "0.5"}, "wait "),
        ({"notices": "yes"}, "notices "),
    ],
)
async def test_a_bad_parameter_is_named(node: Any, app_id: str, query: dict[str, Any], named: str) -> None:
    status, code, message = await refusal(node.url, app_id, **query)
    assert (status, code) == (400, 40001)
    assert message.startswith(named)
    assert " must be " in message


async def test_bad_ids_are_named(node: Any, app_id: str) -> None:
    for app, gateway, named in (("a" * 128, "g", "appId "), (app_id, " g", "gatewayId ")):
        status, code, message = await refusal(node.url, app, gateway)
        assert (status, code, message.startswith(named)) == (400, 40001, True)


async def test_head_replaces_nobody(node: Any, app_log: Any) -> None:
    async with (
        connect(node.url, app_log.app_id, "one") as gateway,
        httpx.AsyncClient(base_url=node.url, trust_env=False) as client,
    ):
        await gateway.wait_for_code(2000)
        for accept, kind in (("*/*", "application/json"), ("text/event-stream", "text/event-stream")):
            reply = await client.head(path_of(app_log.app_id, "one"), headers={"Accept": accept})
            assert (reply.status_code, reply.headers["content-type"], reply.content) == (200, kind, b"")
        assert (await client.post(path_of(app_log.app_id, "one"))).json()["code"] == 40500
        await app_log.send()
        await gateway.wait_for_code(2001)


@pytest.mark.parametrize(
    ("accept", "is_stream"),
    [
        ("text/html", False),
        ("text/event-stream;q=0, */*", False),
        ("application/json, Text/Event-Stream; q=0.5", True),
        ("text/*", False),
    ],
)
async def test_only_who_names_it_gets_a_stream(node: Any, app_id: str, accept: str, is_stream: bool) -> None:
    async with httpx.AsyncClient(base_url=node.url, trust_env=False) as client:
        reply = await client.head(path_of(app_id, "one"), headers={"Accept": accept})
    kind = "text/event-stream" if is_stream else "application/json"
    assert (reply.headers["content-type"], reply.headers["vary"]) == (kind, "Accept")


class TestAccess:
    async def test_the_token_is_that_of_a_gateway(self, start_node: Any, app_id: str) -> None:
        node = await start_node(**WITH_TOKENS)
        assert (await refusal(node.url, app_id))[:2] == (401, 40101)
        assert (await refusal(node.url, app_id, access_token="wrong"))[:2] == (401, 40101)
        for app, scope in ((f"{app_id}-other", "gateway"), (app_id, "read send")):
            assert (await refusal(node.url, app_id, access_token=token(app, scope)))[:2] == (403, 40301)
        assert (await page(node.url, app_id, access_token=token(app_id, "gateway")))["events"] == []
        async with httpx.AsyncClient(base_url=node.url, trust_env=False) as client:
            headers = bearer(app_id, "gateway")
            assert (await client.get(path_of(app_id, "one"), headers=headers)).status_code == 200
            # Other calls take no token from the query.
            path, query = path_of(app_id, "one").replace("/events", "/node"), {"access_token": token(app_id)}
            assert (await client.get(path, params=query)).status_code == 401

    async def test_a_token_that_expires_ends_a_poll(self, start_node: Any, app_id: str) -> None:
        node = await start_node(**WITH_TOKENS)
        short = token(app_id, "gateway", 1.5)
        assert (await refusal(node.url, app_id, access_token=short, wait=30))[:2] == (401, 40101)

    async def test_an_app_that_is_suspended(self, start_node: Any, app_id: str, tmp_path: Path) -> None:
        file = FileOfApps(tmp_path / "apps.toml")
        node = await start_node(apps_file=str(file.path))
        waiting = asyncio.create_task(refusal(node.url, app_id, wait=30))
        await wait_until(lambda: node.push_node.connections.hub.gateways)
        file.write(f'[apps."{app_id}"]\nsuspended = true\n')
        assert (await asyncio.wait_for(waiting, 10))[:2] == (403, 40301)
        assert (await refusal(node.url, app_id))[:2] == (403, 40301)


async def test_one_that_polls_keeps_its_slot(start_node: Any, app_log: Any, tmp_path: Path) -> None:
    file = FileOfApps(tmp_path / "apps.toml")
    file.write(quotas_text({app_log.app_id: {"gateways": 1}}))
    node = await start_node(apps_file=str(file.path))
    for _ in range(3):
        await page(node.url, app_log.app_id)
    assert (await refusal(node.url, app_log.app_id, "another"))[:2] == (429, 42901)
    slots = await app_log.redis.zrange(names.gateway_slots(app_log.app_id), 0, -1)
    assert slots == [b"pages"]
    async with stream(node.url, app_log.app_id, "pages") as events:
        await events.wait_for_code(2000)


async def test_pages_of_many_at_once_are_read_from_the_log_together(node: Any, app_log: Any) -> None:
    cursors = await app_log.send(PAGE)
    before = await app_log.redis.info("commandstats")
    reads = [page(node.url, app_log.app_id, f"g{index}", cursor=cursors[0], limit=500) for index in range(40)]
    pages = await asyncio.gather(*reads)
    assert all(len(read["events"]) == PAGE - 1 for read in pages)
    after = await app_log.redis.info("commandstats")
    calls = after["cmdstat_xrange"]["calls"] - before.get("cmdstat_xrange", {"calls": 0})["calls"]
    assert calls < 40


class TestGathering:
    """A page by itself."""

    def event(self, number: int, text: str = "x") -> bytes:
        return b'id: line.%d-0\ndata: {"code":2001,"n":%d,"text":"%b"}\n\n' % (number, number, text.encode())

    def opened(self, limit: int, room: int = 1000) -> EventPage:
        read = EventPage(limit)
        read.listen(None, room)  # pyright: ignore[reportArgumentType]
        read.write(b'id: line.1-0\ndata: {"code":2000,"recovered":true}\n\n')
        return read

    def test_the_first_event_is_none_of_the_page(self) -> None:
        read = self.opened(2)
        assert (read.events, read.cursor, read.recovered) == ([], "line.1-0", True)

    def test_what_does_not_fit_is_dropped(self) -> None:
        read = self.opened(2)
        read.write(self.event(2, "data: id: ") + self.event(3))
        assert (len(read.events), read.cursor, read.is_full) == (2, "line.3-0", False)
        read.write(self.event(4) + self.event(5))
        read.write(self.event(6))
        assert (len(read.events), read.cursor, read.is_full) == (2, "line.3-0", True)
        assert read.events[0] == b'{"code":2001,"n":2,"text":"data: id: "}'

    def test_the_first_always_fits(self) -> None:
        read = self.opened(10, room=5)
        read.write(self.event(2) + self.event(3))
        assert (len(read.events), read.cursor, read.is_full) == (1, "line.2-0", True)

    async def test_one_that_was_never_connected(self) -> None:
        read = EventPage(1)
        read.write(b'data: {"code":4000,"data":{}}\n\n')
        with contextlib.suppress(AttributeError):
            read.close(1013, "out of reach")  # pyright: ignore[reportArgumentType]
        await asyncio.wait_for(read.gathered(30), 5)
        assert (read.cursor, read.ending) == (None, (1013, "out of reach"))
