"""A gateway against a real installation, and against its faults."""

import asyncio
import logging
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
from imc_gateway import (
    AsyncClient,
    Client,
    Ended,
    Erased,
    Event,
    FileStore,
    Gap,
    Gateway,
    ImcError,
    MemoryStore,
    MessageRecalled,
    MessageSent,
    NoticeDeleted,
    NoticePublished,
    Replaced,
    calls,
    connect,
    message_body,
)
from imc_testkit.deployment import Deployment, standalone
from imc_testkit.proxy import TcpProxy, tcp_proxy
from imc_testkit.tokens import JWT, token
from imc_testkit.waiting import wait_until


async def take(gateway: Gateway, count: int) -> list[Event]:
    async with asyncio.timeout(100):
        return [await anext(gateway) for _ in range(count)]


def contents(events: list[Event]) -> list[str]:
    return [event.message.content for event in events if isinstance(event, MessageSent)]


async def test_events_come_in_order_and_sends_are_answered(url: str, app_id: str) -> None:
    async with connect(url, app_id, "g", notices=True) as gateway, AsyncClient(url) as client:
        assert gateway.is_connected
        sent = await gateway.send("lobby", "ann", "hello", type=7)
        await client.call(calls.recall_message(app_id, sent.message_id, cause="typo"))
        notice = await client.call(calls.publish_notice(app_id, "lobby", "ann", "soon", title="T"))
        await client.call(calls.delete_notice(app_id, notice.message_id))
        events = await take(gateway, 4)
    assert [type(event) for event in events] == [MessageSent, MessageRecalled, NoticePublished, NoticeDeleted]
    first, second, third, _ = events
    assert isinstance(first, MessageSent)
    assert (first.message.content, first.message.type, first.message.user_id) == ("hello", 7, "ann")
    assert isinstance(second, MessageRecalled)
    assert (second.message.message_id, second.message.recall_cause) == (sent.message_id, "typo")
    assert isinstance(third, NoticePublished)
    assert (third.notice.title, third.notice.content) == ("T", "soon")


async def test_its_question_for_a_node_is_not_in_the_log(
    url: str, app_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A standalone answers it with 503. Requests of others stay in the log."""
    caplog.set_level(logging.INFO)
    async with connect(url, app_id, "g"), httpx.AsyncClient() as http:
        await http.get(f"{url}/livez")
    async with httpx.AsyncClient() as http:
        node = f"{url}/v1/gateways/{app_id}/g/node"
        await http.get(node)  # nothing of it is left
    told = [record.getMessage() for record in caplog.records if record.name == "httpx"]
    assert [
        f"GET {address} " in line for address, line in zip((f"{url}/livez", node), told, strict=True)
    ] == [
        True,
        True,
    ]


async def test_an_erasure_is_an_event_of_its_own(url: str, app_id: str) -> None:
    async with connect(url, app_id, "g") as gateway, httpx.AsyncClient(base_url=url) as http:
        await gateway.send("lobby", "ann", "hello")
        for kind, subject in (("user", {"userId": "ann"}), ("group", {"groupId": "lobby"}), ("app", {})):
            reply = await http.post(f"/v1/commands/erase-{kind}", json={"appId": app_id, **subject})
            assert reply.status_code == 200
        events = await take(gateway, 4)
        erased = [event for event in events if isinstance(event, Erased)]
        assert [(each.user_id, each.group_id) for each in erased] == [
            ("ann", None),
            (None, "lobby"),
            (None, None),
        ]
        assert erased[-1].erasure_id == reply.json()["data"]["erasureId"]
        assert gateway.cursor == reply.json()["data"]["cursor"]


async def test_the_same_client_message_id_is_one_message(url: str, app_id: str) -> None:
    async with connect(url, app_id, "g") as gateway:
        first = await gateway.send("lobby", "ann", "once", client_message_id="m1")
        again = await gateway.send("lobby", "ann", "once", client_message_id="m1")
        assert (first.is_duplicate, again.is_duplicate) == (False, True)
        assert first.message_id == again.message_id
        with pytest.raises(ImcError) as refused:
            await gateway.send("lobby", "ann", "something else", client_message_id="m1")
        assert refused.value.code == 40904


async def test_a_send_that_is_malformed_is_refused(url: str, app_id: str) -> None:
    async with connect(url, app_id, "g") as gateway:
        with pytest.raises(ImcError, match="groupId") as refused:
            await gateway.send("", "ann", "hello")
        assert (refused.value.code, refused.value.is_retryable) == (40001, False)
        assert (await gateway.send("lobby", "ann", "hello")).message_id


async def test_a_new_process_goes_on_after_what_was_done(url: str, app_id: str, tmp_path: Path) -> None:
    def gateway() -> Gateway:
        return connect(url, app_id, "g", store=FileStore(tmp_path / "position"))

    async with gateway() as first:
        for number in range(4):
            await first.send("lobby", "ann", str(number))
        assert contents(await take(first, 2)) == ["0", "1"]
    with pytest.raises(ZeroDivisionError):
        async with gateway() as second:
            assert contents(await take(second, 1)) == ["2"]
            raise ZeroDivisionError  # the event was not dealt with
    async with gateway() as third:
        assert contents(await take(third, 2)) == ["2", "3"]


async def test_one_without_a_store_begins_now(url: str, app_id: str) -> None:
    with Client(url) as client:
        await asyncio.to_thread(client.call, calls.send_message(app_id, "lobby", "ann", "before"))
        async with connect(url, app_id, "g") as gateway:
            await gateway.send("lobby", "ann", "after")
            assert contents(await take(gateway, 1)) == ["after"]


async def test_the_newer_of_two_stays(url: str, app_id: str) -> None:
    async with connect(url, app_id, "g") as older, connect(url, app_id, "g") as newer:
        with pytest.raises(Replaced):
            await take(older, 1)
        with pytest.raises(Replaced):
            await older.send("lobby", "ann", "too late")
        await newer.send("lobby", "ann", "here")
        assert contents(await take(newer, 1)) == ["here"]


async def test_ids_that_are_none_end_it_at_once(url: str) -> None:
    with pytest.raises(Ended) as ended:
        async with connect(url, " ", "g"):
            pass
    assert "appId" in ended.value.reason


async def test_a_slow_loop_loses_nothing_and_its_sends_are_answered(url: str, app_id: str) -> None:
    """Its sends wait for answers behind events that find no room."""
    async with connect(url, app_id, "g", buffer=4) as gateway, AsyncClient(url) as client:
        for first in range(0, 200, 50):
            bodies = [message_body(app_id, "lobby", "bob", str(first + n)) for n in range(50)]
            await client.call(calls.send_messages(bodies))
        got: list[Event] = []
        for number in range(5):
            got += await take(gateway, 3)
            await gateway.send("lobby", "ann", f"own {number}")
        got += await take(gateway, 205 - len(got))
    assert contents(got) == [*map(str, range(200)), *(f"own {number}" for number in range(5))]


async def test_groups_and_history_over_http(url: str, app_id: str) -> None:
    async with AsyncClient(url) as client:
        bodies = [message_body(app_id, "lobby", "ann", str(number)) for number in range(3)]
        outcomes = await client.call(calls.send_messages([*bodies, message_body(app_id, "", "ann", "x")]))
        assert [isinstance(outcome, ImcError) for outcome in outcomes] == [False, False, False, True]

        async def history() -> list[str]:
            return [message.content async for message in client.history(app_id, "lobby")]

        async def is_stored() -> bool:
            return await history() == ["2", "1", "0"]

        await wait_until(is_stored, what="three messages")
        [group] = (await client.call(calls.groups(app_id))).items
        assert (group.group_id, group.message_total, group.newest_message.content) == ("lobby", 3, "2")
        page = await client.call(calls.messages(app_id, group_id="lobby", limit=1, with_total=True))
        assert ([each.content for each in page.items], page.has_more, page.total) == (["2"], True, 3)
        with Client(url) as waiting:
            listed = await asyncio.to_thread(lambda: list(waiting.history(app_id, "lobby")))
        assert [message.content for message in listed] == ["2", "1", "0"]
        with pytest.raises(ImcError) as refused:
            await client.call(calls.message(app_id, "1"))
        assert refused.value.code == 40401


class Installation:
    """A standalone of one's own behind a proxy, which stays while the process goes and comes."""

    def __init__(self, deployment: Deployment, proxy: TcpProxy) -> None:
        self.process = deployment.push_nodes[0]
        self.proxy = proxy
        self.url = f"http://127.0.0.1:{proxy.port}"

    async def restart(self, *, killed: bool) -> None:
        await (self.process.kill() if killed else self.process.terminate())
        await self.process.start()
        await self.process.ready()


@pytest.fixture
async def own(tmp_path: Path) -> AsyncGenerator[Installation]:
    async with (
        standalone(tmp_path / "imc", {"IMC_DRAIN_SECONDS": "0.1"}) as deployment,
        tcp_proxy("127.0.0.1", deployment.push_nodes[0].port) as proxy,
    ):
        yield Installation(deployment, proxy)


async def test_a_busy_sender_with_little_room_reads_on_one_connection(own: Installation, app_id: str) -> None:
    """There is always a send without an answer. While events are taken, that is no reason to reconnect."""

    async def keep_sending(name: str) -> None:
        while True:
            await gateway.send("lobby", name, "again")

    async with connect(own.url, app_id, "g", buffer=4) as gateway, AsyncClient(own.url) as client:
        senders = [asyncio.create_task(keep_sending(name)) for name in ("ann", "bob", "cid")]
        for _ in range(5):
            await client.call(calls.send_messages([message_body(app_id, "lobby", "eve", "one")] * 100))
        others = 0
        while others < 500:
            [event] = await take(gateway, 1)
            others += isinstance(event, MessageSent) and event.message.user_id == "eve"
        for sender in senders:
            sender.cancel()
        assert own.proxy.taken < 30, "it connected again and again"


@pytest.mark.parametrize("fault", ["killed", "stopped", "cut"])
async def test_nothing_is_lost_doubled_or_reordered(own: Installation, app_id: str, fault: str) -> None:
    async def send_all(gateway: Gateway) -> None:
        for number in range(60):
            await gateway.send("lobby", "ann", str(number))
            progress.append(number)

    async def bring_about() -> None:
        for begin in (15, 40):
            await wait_until(lambda begin=begin: len(progress) >= begin, timeout=100, what="sends")
            if fault == "cut":
                own.proxy.cut()
            else:
                await own.restart(killed=fault == "killed")

    progress: list[int] = []
    async with connect(own.url, app_id, "g") as gateway:
        sending = asyncio.gather(send_all(gateway), bring_about())
        got = await take(gateway, 60)
        await sending
    assert contents(got) == [str(number) for number in range(60)]


async def test_an_end_that_is_not_known_is_cleared_up(own: Installation, app_id: str) -> None:
    """The process takes the send and hangs; the connection is cut before an answer comes."""
    async with connect(own.url, app_id, "g") as gateway:
        own.process.pause()
        sending = asyncio.create_task(gateway.send("lobby", "ann", "once"))
        await asyncio.wait({sending}, timeout=0.1)
        own.proxy.cut()
        own.process.resume()
        sent = await asyncio.wait_for(sending, 60)
        assert contents(await take(gateway, 1)) == ["once"]
        await gateway.send("lobby", "ann", "next")
        [event] = await take(gateway, 1)
        assert contents([event]) == ["next"]
        assert sent.message_id


async def test_a_gap_is_repaired_from_the_history(own: Installation, app_id: str) -> None:
    async with AsyncClient(own.url) as client:
        store = MemoryStore()
        async with connect(own.url, app_id, "g", store=store) as gateway:
            for content in ("known", "recalled later"):
                await gateway.send("lobby", "ann", content)
            seen = await take(gateway, 2)
            await gateway.send("lobby", "ann", "still unread")
        recalled = seen[1]
        assert isinstance(recalled, MessageSent)
        await client.call(calls.recall_message(app_id, recalled.message.message_id))
        await client.call(calls.send_message(app_id, "other", "bob", "missed"))
        await wait_until(lambda: has_groups(client, app_id, 2), what="both groups in the history")
        # A cursor of another log, as after Redis was lost.
        newest, _, cursor = (store.position or "").partition(" ")
        lost = MemoryStore(f"{newest} 0f0f0f0f0f0f.{cursor.partition('.')[2]}")
        async with connect(own.url, app_id, "g2", store=lost) as gateway:
            events = await until_gap(gateway)
            await gateway.send("lobby", "ann", "live")
            live = await take(gateway, 1)
        told = [event.message.content for event in events if isinstance(event, MessageSent)]
        assert sorted(told) == ["known", "missed", "still unread"]
        assert [type(event) for event in events if not isinstance(event, MessageSent)] == [
            MessageRecalled,
            Gap,
        ]
        assert events[-1] == Gap(is_repaired=True)
        assert contents(live) == ["live"]
        assert lost.position is not None
        assert not lost.position.partition(" ")[2].startswith("0f0f")


async def until_gap(gateway: Gateway) -> list[Event]:
    events: list[Event] = []
    async with asyncio.timeout(60):
        while not events or not isinstance(events[-1], Gap):
            events.append(await anext(gateway))
    return events


async def has_groups(client: AsyncClient, app_id: str, count: int) -> bool:
    return len((await client.call(calls.groups(app_id))).items) == count


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncGenerator[str]:
    async with standalone(tmp_path / "imc", JWT) as deployment:
        yield deployment.push_nodes[0].url


async def test_a_token_is_renewed_before_it_ends_the_connection(guarded: str, app_id: str) -> None:
    given: list[str] = []

    def fresh() -> str:
        given.append(token(app_id, "gateway send", lifetime=4))
        return given[-1]

    async with connect(guarded, app_id, "g", token=fresh) as gateway:
        await wait_until(lambda: len(given) >= 4, timeout=60, what="fresh tokens")
        await gateway.send("lobby", "ann", "still here")
        assert contents(await take(gateway, 1)) == ["still here"]


async def test_a_token_that_is_not_good_ends_it(guarded: str, app_id: str) -> None:
    for bad in ("bad", lambda: "bad"):
        with pytest.raises(Ended) as ended:
            async with connect(guarded, app_id, "g", token=bad):
                pass
        assert ended.value.code == 401


async def test_a_function_that_fails_is_heard(url: str, app_id: str) -> None:
    def fails() -> str:
        raise LookupError("no issuer")

    with pytest.raises(LookupError):
        async with connect(url, app_id, "g", token=fails):
            pass


async def test_one_that_is_closed_answers_its_sends(own: Installation, app_id: str) -> None:
    async with connect(own.url, app_id, "g") as gateway:
        own.process.send_signal(signal.SIGSTOP)
        sending = asyncio.create_task(gateway.send("lobby", "ann", "never answered"))
        await asyncio.wait({sending}, timeout=0.1)
        closing = asyncio.create_task(gateway.__aexit__(None, None, None))
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(sending, 30)
        own.process.resume()
        await closing
        with pytest.raises(StopAsyncIteration):
            await anext(gateway)


async def test_nobody_there_is_waited_for(app_id: str, tmp_path: Path) -> None:
    async with standalone(tmp_path / "imc") as deployment:
        process = deployment.push_nodes[0]
        await process.kill()
        entering = asyncio.create_task(entered(process.url, app_id))
        await asyncio.wait({entering}, timeout=0.5)
        assert not entering.done()
        await process.start()
        assert await asyncio.wait_for(entering, 60)
        with pytest.raises(httpx.HTTPError):
            await process.kill()
            async with AsyncClient(process.url) as client:
                await client.call(calls.groups(app_id))


async def entered(url: str, app_id: str) -> bool:
    async with connect(url, app_id, "g") as gateway:
        return gateway.is_connected
