"""What a gateway gets whose cursor is older than the log."""

import asyncio
import contextlib
import math
from typing import Any

import pytest
from imc_contracts.cursor import Cursor, EntryId
from imc_contracts.events import message_sent
from imc_push_node.gateway.gateway import State
from imc_push_node.stream import archive
from imc_push_node.stream.archive import PAGE, Archive
from imc_push_node.stream.log_state import LogState, Remainder
from imc_push_node.stream.query_api import ArchivedEntries, NotAnswered
from imc_testkit.gateway import Gateway, connect
from imc_testkit.waiting import wait_until
from websockets.asyncio.client import connect as connect_websocket


@pytest.fixture
async def node(start_node: Any, query_api: Any) -> Any:
    """A push-node that can ask for what logs have forgotten."""
    return await start_node(query_api_url=query_api.url, gateway_buffer_bytes=65_536)


def contents(gateway: Gateway) -> list[str]:
    return [frame["data"]["content"] for frame in gateway.with_code(2001)]


def numbers(first: int, last: int) -> list[str]:
    return [str(number) for number in range(first, last + 1)]


def resuming(node: Any, app_log: Any) -> int:
    return node.app(app_log.app_id).delivery.number_in(State.READING_ARCHIVE)


@pytest.mark.parametrize("kept", [1, 10, PAGE, PAGE + 3])
async def test_what_the_log_forgot_then_the_log_then_live(
    node: Any, app_log: Any, query_api: Any, kept: int
) -> None:
    cursors = await app_log.send(3 * PAGE)
    await app_log.trim(cursors[-kept])
    async with connect(node.url, app_log.app_id, "one", cursor=str(cursors[0])) as gateway:
        await gateway.wait_for_code(2001, 3 * PAGE - 1)
        await app_log.send()
        await gateway.wait_for_code(2001, 3 * PAGE)
        assert gateway.frames[0] | {"message": ""} == {
            "success": True,
            "code": 2000,
            "message": "",
            "data": "connection successful",
            "cursor": str(cursors[0]),
            "recovered": True,
        }
        assert contents(gateway) == numbers(2, 3 * PAGE + 1)
        assert [frame["cursor"] for frame in gateway.frames[1:-1]] == [str(cursor) for cursor in cursors[1:]]
        assert len(query_api.calls) <= 4


async def test_each_of_its_cursors_may_be_resumed_from(node: Any, app_log: Any) -> None:
    cursors = await app_log.send(12)
    await app_log.trim(cursors[8])
    for index, cursor in enumerate(cursors):
        async with connect(node.url, app_log.app_id, "one", cursor=str(cursor)) as gateway:
            await gateway.wait_for_code(2000)
            await gateway.wait_for_code(2001, 11 - index)
            assert gateway.frames[0]["recovered"]
            assert contents(gateway) == numbers(index + 2, 12)


async def test_notices_for_those_who_ask(node: Any, app_log: Any) -> None:
    (start,) = await app_log.send()
    await app_log.notices()
    (end,) = await app_log.send()
    await app_log.trim(end)
    async with (
        connect(node.url, app_log.app_id, "plain", cursor=str(start)) as plain,
        connect(node.url, app_log.app_id, "informed", cursor=str(start), notices=True) as informed,
    ):
        await plain.wait_for_code(2001)
        await informed.wait_for_code(2001)
        assert [frame["code"] for frame in plain.frames] == [2000, 2001]
        assert [frame["code"] for frame in informed.frames] == [2000, 2004, 2005, 2001]


async def test_nothing_is_lost_or_doubled_while_the_log_is_written_and_forgotten(
    node: Any, app_log: Any
) -> None:
    """The log never has more than a few entries, and hardly ever those that the gateways want next."""
    total = 3000
    (start,) = await app_log.send()

    async def write() -> None:
        for _ in range(0, total, 10):
            cursors = await app_log.send(10)
            await app_log.trim(cursors[-3])

    async def come_and_go(gateway_id: str, frames_a_visit: int) -> list[str]:
        cursor, seen = str(start), list[str]()
        while len(seen) < total:
            async with connect(node.url, app_log.app_id, gateway_id, cursor=cursor) as gateway:
                await gateway.wait_for_code(2001, min(frames_a_visit, total - len(seen)))
                assert gateway.frames[0]["recovered"]
                assert gateway.with_code(4002) == []
                cursor = gateway.cursor or ""
                seen += contents(gateway)
        return seen

    _, *visits = await asyncio.gather(write(), come_and_go("a", 20), come_and_go("b", 1000))
    for seen in visits:
        assert seen == numbers(2, total + 1)


async def test_it_goes_on_with_the_database_if_the_log_forgets_more(
    node: Any, app_log: Any, query_api: Any
) -> None:
    cursors = await app_log.send(50)
    await app_log.trim(cursors[20])
    query_api.gate.clear()
    async with connect(node.url, app_log.app_id, "one", cursor=str(cursors[0])) as gateway:
        await wait_until(lambda: query_api.calls)
        await app_log.trim(cursors[40])
        # What was read of it before is not remembered any more either.
        node.push_node.connections.hub.recent.forget(math.inf)
        query_api.gate.set()
        await gateway.wait_for_code(2001, 49)
        assert contents(gateway) == numbers(2, 50)
        assert query_api.calls == [
            (str(cursors[0].entry), str(cursors[20].entry)),
            (str(cursors[20].entry.preceding), str(cursors[40].entry)),
        ]


class TestAnotherLog:
    async def test_what_came_before_it_the_gap_then_all_of_it(self, node: Any, app_log: Any) -> None:
        old = await app_log.send(20)
        await app_log.end()
        new = await app_log.send(20)
        await app_log.trim(new[5])
        async with connect(node.url, app_log.app_id, "one", cursor=str(old[9])) as gateway:
            await gateway.wait_for_code(2001, 30)
            await app_log.send()
            await gateway.wait_for_code(2001, 31)
        assert contents(gateway) == numbers(11, 41)
        connected, (gap,) = gateway.frames[0], gateway.with_code(4002)
        assert (connected["cursor"], connected["recovered"]) == (str(old[9]), False)
        # Until it is told of the gap it has cursors of the old log: else it could miss that by leaving.
        before_gap = gateway.frames[1 : gateway.frames.index(gap)]
        expected = [*old[10:], *(Cursor("line", cursor.entry) for cursor in new[:5])]
        assert [frame["cursor"] for frame in before_gap] == [str(cursor) for cursor in expected]
        assert gap["data"]["from"] == str(old[9])
        async with connect(node.url, app_log.app_id, "two", cursor=gap["data"]["to"]) as gateway:
            await gateway.wait_for_code(2001, 16)
            assert gateway.frames[0]["recovered"]
            assert contents(gateway) == numbers(26, 41)

    async def test_one_that_holds_nothing_yet(self, node: Any, app_log: Any) -> None:
        old = await app_log.send(20)
        await app_log.end()
        async with connect(node.url, app_log.app_id, "one", cursor=str(old[9])) as gateway:
            await gateway.wait_for_code(4002)
            await app_log.send(2)
            await gateway.wait_for_code(2001, 12)
            assert contents(gateway) == numbers(11, 22)
            assert [frame["code"] for frame in gateway.frames] == [2000, *[2001] * 10, 4002, 2001, 2001]

    async def test_a_point_of_before_its_birth_is_recovered(self, node: Any, app_log: Any) -> None:
        async with connect(node.url, app_log.app_id, "one") as gateway:
            cursor = (await gateway.wait_for_code(2000))[0]["cursor"]
        cursors = await app_log.send(10)
        await app_log.trim(cursors[5])
        async with connect(node.url, app_log.app_id, "one", cursor=cursor) as gateway:
            await gateway.wait_for_code(2001, 10)
            assert (gateway.frames[0]["cursor"], gateway.frames[0]["recovered"]) == (cursor, True)
            assert [frame["cursor"] for frame in gateway.frames[1:]] == [str(cursor) for cursor in cursors]


async def test_a_point_of_a_lost_future_is_a_gap(node: Any, app_log: Any, query_api: Any) -> None:
    cursors = await app_log.send(10)
    await app_log.trim(cursors[5])
    last = cursors[-1]
    offered = str(Cursor(last.epoch, EntryId(last.entry.ms + 5, 0)))
    async with connect(node.url, app_log.app_id, "one", cursor=offered) as gateway:
        (gap,) = await gateway.wait_for_code(4002)
        # That server may have had other entries than the log from any entry on.
        before_all = Cursor(last.epoch, cursors[5].entry.preceding)
        assert gap["data"] == {"from": str(before_all), "to": str(last)}
        assert (gateway.frames[0]["cursor"], gateway.frames[0]["recovered"]) == (str(last), False)
        await app_log.send()
        await gateway.wait_for_code(2001)
    assert query_api.calls == []


async def test_a_recall_that_the_database_has_not_heard_of_hides_the_content(node: Any, app_log: Any) -> None:
    (start,) = await app_log.send()
    secret = app_log.message("secret")
    await app_log.append(message_sent(secret))
    (end,) = await app_log.send()
    await app_log.trim(end)
    await app_log.recall(secret)
    async with connect(node.url, app_log.app_id, "one", cursor=str(start)) as gateway:
        await gateway.wait_for_code(2002)
        assert [frame["code"] for frame in gateway.frames] == [2000, 2001, 2001, 2002]
        assert contents(gateway) == ["", "3"]
        assert gateway.frames[1]["data"] == gateway.frames[3]["data"]


class TestWithoutAnswer:
    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(archive, "PATIENCE_SECONDS", 1.0)

    async def test_a_gap_is_told_after_some_time(self, node: Any, app_log: Any, query_api: Any) -> None:
        cursors = await app_log.send(10)
        await app_log.trim(cursors[5])
        query_api.status = 503
        async with connect(node.url, app_log.app_id, "one", cursor=str(cursors[0])) as gateway:
            (gap,) = await gateway.wait_for_code(4002)
            assert gap["data"] == {"from": str(cursors[0]), "to": str(cursors[-1])}
            assert gateway.frames[0]["recovered"] is False
            await app_log.send()
            await gateway.wait_for_code(2001)
            assert contents(gateway) == ["11"]
        assert len(query_api.calls) > 1

    async def test_an_outage_that_ends_soon_goes_unnoticed(
        self, node: Any, app_log: Any, query_api: Any
    ) -> None:
        cursors = await app_log.send(10)
        await app_log.trim(cursors[5])
        query_api.status = 500
        async with connect(node.url, app_log.app_id, "one", cursor=str(cursors[0])) as gateway:
            await wait_until(lambda: query_api.calls)
            query_api.status = 200
            await gateway.wait_for_code(2001, 9)
            assert contents(gateway) == numbers(2, 10)

    async def test_an_outage_on_the_way_is_told_where_it_was(
        self, node: Any, app_log: Any, query_api: Any
    ) -> None:
        cursors = await app_log.send(2 * PAGE)
        await app_log.trim(cursors[-1])
        query_api.gate.clear()
        async with connect(node.url, app_log.app_id, "one", cursor=str(cursors[0])) as gateway:
            await wait_until(lambda: query_api.calls)
            app_log.changes[PAGE + 1 :] = [{"entryId": str(cursors[-2].entry), "kind": "s", "view": None}]
            query_api.gate.set()
            (gap,) = await gateway.wait_for_code(4002)
            assert gap["data"] == {"from": str(cursors[PAGE]), "to": str(cursors[-1])}
            assert gateway.frames[0]["recovered"]
            assert contents(gateway) == numbers(2, PAGE + 1)


async def test_many_that_resume_at_once_share_pages(node: Any, app_log: Any, query_api: Any) -> None:
    cursors = await app_log.send(3 * PAGE)
    await app_log.trim(cursors[-1])
    async with contextlib.AsyncExitStack() as stack:
        visits = [
            connect(node.url, app_log.app_id, f"g{index}", cursor=str(cursors[9 * index]))
            for index in range(60)
        ]
        gateways = await asyncio.gather(*(stack.enter_async_context(visit) for visit in visits))
        for index, gateway in enumerate(gateways):
            await gateway.wait_for_code(2001, 3 * PAGE - 1 - 9 * index)
            assert contents(gateway) == numbers(2 + 9 * index, 3 * PAGE)
    # Each alone would take 1 to 3.
    assert len(query_api.calls) < 40


V1, JAVA = "/v1/gateways", "/chat/message/broadcast"


def unread(url: str, app_id: str, cursor: Cursor | str = "", door: str = V1) -> Any:
    """A gateway that reads only when it is asked to."""
    address = f"ws{url.removeprefix('http')}{door}/{app_id}/slow?cursor={cursor}"
    return connect_websocket(address, max_queue=1, proxy=None, ping_interval=None)


async def large_history(app_log: Any) -> list[Cursor]:
    cursors: list[Cursor] = []
    for _ in range(8):
        cursors += await app_log.append(
            *(message_sent(app_log.message("x" * 20_000)) for _ in range(PAGE // 2))
        )
    await app_log.trim(cursors[-1])
    return cursors


async def test_a_slow_gateway_is_read_for_at_its_pace(node: Any, app_log: Any) -> None:
    cursors = await large_history(app_log)
    async with unread(node.url, app_log.app_id, cursors[0]) as slow:
        assert '"code":2000' in await slow.recv()
        socket = node.gateway(app_log.app_id, "slow").socket
        await wait_until(lambda: socket.is_full)
        assert resuming(node, app_log) == 1
        async with connect(node.url, app_log.app_id, "quick", cursor=str(cursors[0])) as quick:
            await quick.wait_for_code(2001, len(cursors) - 1)
        # A page of large messages, and not all that there are.
        assert socket.transport.get_write_buffer_size() < 2 * PAGE * 20_000
        gateway = Gateway(slow)
        reading = asyncio.create_task(gateway.keep_reading())
        await gateway.wait_for_code(2001, len(cursors) - 1)
        assert gateway.with_code(2001) == quick.with_code(2001)
        await wait_until(lambda: resuming(node, app_log) == 0)
        await slow.close()
        await reading


class TestAtTheJavaDoor:
    """A gateway there has no cursor. It reads the database if the log forgets what it was too slow for."""

    @staticmethod
    async def left_behind(node: Any, app_log: Any, slow: Any) -> list[Any]:
        """Send more than the gateway's buffers hold; return the messages, which memory and log forget."""
        assert '"code":2000' in await slow.recv()
        messages = [app_log.message(f"{number} {'x' * 60_000}") for number in range(200)]
        cursors: list[Cursor] = []
        for message in messages:
            cursors += await app_log.append(message_sent(message))
        delivery = node.app(app_log.app_id).delivery
        await wait_until(lambda: delivery.outbox.head == cursors[-1] and delivery.number_in(State.LAGGING))
        node.push_node.connections.hub.recent.forget(math.inf)
        delivery.outbox.replay_buffer.forget(math.inf)
        await app_log.trim(cursors[-1])
        return messages

    async def test_a_slow_gateway_gets_everything_from_the_database(
        self, node: Any, app_log: Any, query_api: Any
    ) -> None:
        async with unread(node.url, app_log.app_id, door=JAVA) as slow:
            messages = await self.left_behind(node, app_log, slow)
            gateway = Gateway(slow)
            reading = asyncio.create_task(gateway.keep_reading())
            await gateway.wait_for_code(2001, len(messages))
            await app_log.append(message_sent(live := app_log.message("live")))
            await gateway.wait_for_code(2001, len(messages) + 1)
            envelope = {"success": True, "code": 2001, "message": "success"}
            assert gateway.frames == [{**envelope, "data": message} for message in (*messages, live)]
            assert query_api.calls
            await slow.close()
            await reading

    async def test_nothing_tells_it_of_a_gap(
        self, node: Any, app_log: Any, query_api: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(archive, "PATIENCE_SECONDS", 1.0)
        query_api.status = 503
        async with unread(node.url, app_log.app_id, door=JAVA) as slow:
            messages = await self.left_behind(node, app_log, slow)
            gateway = Gateway(slow)
            reading = asyncio.create_task(gateway.keep_reading())
            await wait_until(lambda: node.app(app_log.app_id).delivery.number_in(State.LIVE))
            await app_log.send()
            await gateway.wait_for(lambda frame: frame["data"]["content"] == str(len(messages) + 1))
            assert {frame["code"] for frame in gateway.frames} == {2001}
            assert len(gateway.frames) < len(messages)
            await slow.close()
            await reading


async def test_one_that_takes_nothing_is_closed(start_node: Any, app_log: Any, query_api: Any) -> None:
    node = await start_node(query_api_url=query_api.url, gateway_buffer_bytes=65_536, stall_seconds=1)
    cursors = await large_history(app_log)
    slow = await unread(node.url, app_log.app_id, cursors[0])
    await slow.recv()
    await wait_until(lambda: node.push_node.connections.hub.gateways == [])
    assert resuming(node, app_log) == 0
    gateway = Gateway(slow)
    await gateway.keep_reading()
    assert gateway.close_code == 4408


async def test_one_may_leave_while_it_waits(node: Any, app_log: Any, query_api: Any) -> None:
    cursors = await app_log.send(10)
    await app_log.trim(cursors[5])
    query_api.gate.clear()
    async with connect(node.url, app_log.app_id, "one", cursor=str(cursors[0])):
        await wait_until(lambda: query_api.calls)
        assert resuming(node, app_log) == 1
        node.gateway(app_log.app_id, "one").socket.transport.abort()
        await wait_until(lambda: resuming(node, app_log) == 0)
    query_api.gate.set()
    async with connect(node.url, app_log.app_id, "one", cursor=str(cursors[0])) as gateway:
        await gateway.wait_for_code(2001, 9)


class TestRemovedRows:
    """The database says how far rows were removed from it."""

    async def test_what_is_removed_is_a_gap_and_what_follows_is_pushed(
        self, node: Any, app_log: Any, query_api: Any
    ) -> None:
        cursors = await app_log.send(20)
        await app_log.trim(cursors[15])
        query_api.removed_to = cursors[9].entry
        async with connect(node.url, app_log.app_id, "one", cursor=str(cursors[2])) as gateway:
            await gateway.wait_for_code(2001, 10)
            await app_log.send()
            await gateway.wait_for_code(2001, 11)
            assert [frame["code"] for frame in gateway.frames] == [2000, 4002, *[2001] * 11]
            connected, gap = gateway.frames[:2]
            assert (connected["cursor"], connected["recovered"]) == (str(cursors[9]), False)
            assert gap["data"] == {"from": str(cursors[2]), "to": str(cursors[9])}
            assert contents(gateway) == numbers(11, 21)

    @pytest.mark.parametrize("seen", [9, 10, 14])
    async def test_who_has_seen_all_that_is_removed_gets_everything(
        self, node: Any, app_log: Any, query_api: Any, seen: int
    ) -> None:
        cursors = await app_log.send(20)
        await app_log.trim(cursors[15])
        query_api.removed_to = cursors[9].entry
        async with connect(node.url, app_log.app_id, "one", cursor=str(cursors[seen])) as gateway:
            await gateway.wait_for_code(2001, 19 - seen)
            assert gateway.frames[0]["recovered"]
            assert [frame["code"] for frame in gateway.frames] == [2000, *[2001] * (19 - seen)]

    async def test_what_the_log_still_holds_is_no_gap(self, node: Any, app_log: Any, query_api: Any) -> None:
        cursors = await app_log.send(20)
        await app_log.trim(cursors[15])
        query_api.removed_to = cursors[19].entry
        async with connect(node.url, app_log.app_id, "one", cursor=str(cursors[2])) as gateway:
            await gateway.wait_for_code(2001, 5)
            assert [frame["code"] for frame in gateway.frames] == [2000, 4002, *[2001] * 5]
            gap = gateway.frames[1]["data"]
            assert gap == {"from": str(cursors[2]), "to": str(Cursor("line", cursors[15].entry.preceding))}
            assert contents(gateway) == numbers(16, 20)

    async def test_what_goes_while_it_is_read_is_a_gap(self, node: Any, app_log: Any, query_api: Any) -> None:
        cursors = await app_log.send(3 * PAGE)
        await app_log.trim(cursors[-1])
        removed_to = cursors[2 * PAGE].entry
        answer = query_api.answer

        def remove_after_a_page(query: dict[str, str]) -> Any:
            page = answer(query)
            query_api.removed_to = removed_to
            return page

        query_api.answer = remove_after_a_page
        async with (
            connect(node.url, app_log.app_id, "behind", cursor=str(cursors[0])) as behind,
        ):
            await behind.wait_for_code(2001, 2 * PAGE - 1)
            [gap] = behind.with_code(4002)
            assert gap["data"] == {"from": str(cursors[PAGE]), "to": str(cursors[2 * PAGE])}
            assert contents(behind) == [*numbers(2, PAGE + 1), *numbers(2 * PAGE + 2, 3 * PAGE)]
            assert behind.frames[0]["recovered"]


async def test_a_node_holds_few_pages_at_a_time() -> None:
    """Each may have the largest of contents, and what holds them all is bounded."""
    unused: Any = None
    pages, may_end, held = Archive(unused, unused), asyncio.Event(), 0

    async def hold() -> None:
        nonlocal held
        async with pages.turn():
            held += 1
            await may_end.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(hold())
        await wait_until(lambda: held)
        assert held * PAGE * 65_535 <= 128 * 1024 * 1024
        may_end.set()
    assert held == 100


class QueryApi:
    """In the place of the client of query-api, with an archive that is empty."""

    is_there = False

    async def changes(self, *_: Any, **__: Any) -> ArchivedEntries:
        if not self.is_there:
            raise NotAnswered("it is not there")
        return ArchivedEntries([], {}, is_last=True, removed_to=EntryId(0, 0))

    async def mask(self, *_: Any) -> None:
        """Nothing was recalled."""


async def test_query_api_is_away_until_it_answers_again(monkeypatch: pytest.MonkeyPatch) -> None:
    query_api: Any = QueryApi()
    pages = Archive(query_api, query_api)
    remainder = Remainder(LogState("line", EntryId(1, 0), EntryId(9, 0), 99), EntryId(5, 0))

    async def ask() -> None:
        await pages.after("app", Cursor("line", EntryId(2, 0)), remainder, with_notices=False)

    monkeypatch.setattr(archive, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(archive, "PROBE_SECONDS", 0.0)
    with pytest.raises(NotAnswered):
        await ask()
    assert pages.is_away
    query_api.is_there = True
    await ask()
    assert not pages.is_away
