"""The gateways in Python, JavaScript and Java do the same: one scenario for all, with faults."""

import asyncio
import contextlib
import json
import secrets
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from clients.program import Event, Program
from clients.toolchains import QUICK_JAVA
from imc_gateway import AsyncClient, calls, message_body
from imc_testkit.child import free_port
from imc_testkit.deployment import Deployment, standalone
from imc_testkit.processes import Process
from imc_testkit.proxy import TcpProxy, tcp_proxy
from imc_testkit.tokens import JWT, token
from imc_testkit.waiting import wait_until
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from gateways import languages

PROGRAMS = Path(__file__).parent / "programs"
LIFETIME_SECONDS = 4


def in_python() -> list[str]:
    return [sys.executable, str(PROGRAMS / "program.py")]


def in_javascript() -> list[str]:
    folder = languages.javascript("program.mjs", (PROGRAMS / "program.mjs").read_text())
    return ["node", str(folder / "program.mjs")]


def in_java() -> list[str]:
    classes = languages.java("Program.java", (PROGRAMS / "Program.java").read_text())
    return [*QUICK_JAVA, "-cp", str(classes), "Program"]


class GatewayProgram(Program):
    """A gateway that a test talks to, with all that it told so far."""

    def __init__(self, command: list[str], folder: Path, **options: Any) -> None:
        super().__init__([*command, json.dumps(options)], folder)
        self.told: list[Event] = []

    async def told_of(self, *names: str, count: int = 1) -> list[Event]:
        """Read until there are ``count`` events of these names, from the first on; these."""
        while len(found := self.all(*names)) < count:
            self.told.append(await self.event())
        return found

    def all(self, *names: str) -> list[Event]:
        """The events of these names so far."""
        return [event for event in self.told if event["event"] in names]

    async def send(self, content: str, key: str | None = None, group_id: str = "lobby") -> str:
        """Begin a send; returns its key."""
        key = key or secrets.token_hex(8)
        await self.write({"send": {"key": key, "groupId": group_id, "userId": "ann", "content": content}})
        return key

    async def sent(self, content: str, key: str | None = None) -> Event:
        """Send, and wait for the answer."""
        key = await self.send(content, key)
        count = len(self.all("sent", "refused"))
        answers = await self.told_of("sent", "refused", count=count + 1)
        return next(answer for answer in answers[count:] if answer["key"] == key)

    async def take(self, count: int) -> list[Event]:
        """Have it ask for so many events; these."""
        names = ("messageSent", "messageRecalled", "noticePublished", "noticeDeleted", "gap")
        before = len(self.all(*names))
        await self.write({"take": count})
        return (await self.told_of(*names, count=before + count))[before:]


Start = Callable[..., GatewayProgram]


@pytest.fixture(params=[in_python, in_javascript, in_java], ids=["python", "javascript", "java"])
def start(request: pytest.FixtureRequest, tmp_path: Path, app_id: str) -> Start:
    """Makes gateways of the app, in each language in turn."""
    command = request.param()

    def made(url: str, gateway_id: str = "g", **options: Any) -> GatewayProgram:
        return GatewayProgram(command, tmp_path, url=url, appId=app_id, gatewayId=gateway_id, **options)

    return made


class Installation:
    """A standalone behind a proxy, which stays while the process goes and comes."""

    def __init__(self, process: Process, proxy: TcpProxy, client: AsyncClient) -> None:
        self.process = process
        self.proxy = proxy
        self.client = client
        self.url = f"ws://127.0.0.1:{proxy.port}"


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Deployment]:
    async with standalone(tmp_path_factory.mktemp("imc"), {"IMC_DRAIN_SECONDS": "0.1"}) as deployment:
        yield deployment


@pytest.fixture
async def imc(shared: Deployment) -> AsyncGenerator[Installation]:
    """An installation that is up at the beginning of each test."""
    process = shared.push_nodes[0]
    async with tcp_proxy("127.0.0.1", process.port) as proxy, AsyncClient(process.url) as client:
        yield Installation(process, proxy, client)
        if process.exit_code is not None:
            await process.start()
        await process.ready()


def contents(events: list[Event]) -> list[str]:
    return [event["content"] for event in events if event["event"] == "messageSent"]


async def test_it_sends_and_is_told_of_messages_recalls_and_notices(
    start: Start, imc: Installation, app_id: str
) -> None:
    text = 'hello, "你好" \\ \n\t\u0001 \U0001f600 </script> '
    async with start(imc.url, notices=True) as gateway:
        await gateway.told_of("connected")
        sent = await gateway.sent(text, "m1")
        assert (sent["event"], sent["duplicate"]) == ("sent", False)
        again = await gateway.sent(text, "m1")
        assert (again["event"], again["id"], again["duplicate"]) == ("sent", sent["id"], True)
        await imc.client.call(calls.recall_message(app_id, sent["id"]))
        notice = await imc.client.call(calls.publish_notice(app_id, "lobby", "ann", "soon"))
        await imc.client.call(calls.delete_notice(app_id, notice.message_id))
        assert await gateway.take(4) == [
            {"event": "messageSent", "id": sent["id"], "content": text, "isRepaired": False},
            {"event": "messageRecalled", "id": sent["id"], "content": "", "isRepaired": False},
            {"event": "noticePublished", "id": notice.message_id, "content": "soon"},
            {"event": "noticeDeleted", "id": notice.message_id, "content": "soon"},
        ]


async def test_a_send_that_is_refused_for_good_says_so(start: Start, imc: Installation) -> None:
    async with start(imc.url) as gateway:
        await gateway.sent("once", "m1")
        assert (await gateway.sent("another", "m1"))["code"] == 40904
        key = await gateway.send("x", group_id=" ")
        assert (await gateway.told_of("refused", count=2))[1] == {
            "event": "refused",
            "key": key,
            "code": 40001,
        }
        assert (await gateway.sent("goes on"))["event"] == "sent"


@pytest.mark.parametrize("fault", ["cut", "killed", "stopped"])
async def test_nothing_is_lost_doubled_or_reordered(
    start: Start, imc: Installation, app_id: str, fault: str
) -> None:
    async with start(imc.url) as gateway, start(imc.url, "other") as other:
        await gateway.told_of("connected")
        await other.told_of("connected")
        for round_ in range(3):
            for number in range(20):
                await gateway.send(f"{round_} {number}")
            if fault == "cut":
                imc.proxy.refuse()
                bodies = [message_body(app_id, "lobby", "bob", f"missed {round_} {n}") for n in range(5)]
                await imc.client.call(calls.send_messages(bodies))
                await imc.proxy.accept()
            else:
                await (imc.process.kill() if fault == "killed" else imc.process.terminate())
                await imc.process.start()
            await gateway.told_of("sent", count=20 * (round_ + 1))
        count = 75 if fault == "cut" else 60
        seen = contents(await gateway.take(count))
        assert contents(await other.take(count)) == seen
        assert gateway.all("refused") == []
        # Sends keep their order, but those of a node that dies may be written again after later ones.
        own = [content for content in seen if not content.startswith("missed")]
        assert sorted(own) == sorted(f"{round_} {number}" for round_ in range(3) for number in range(20))
        await gateway.sent("the last one")
        assert contents(await gateway.take(1)) == contents(await other.take(1)) == ["the last one"]


async def test_a_send_whose_end_is_not_known_is_cleared_up(
    start: Start, imc: Installation, app_id: str
) -> None:
    """Its answer is lost: it is in the log, and comes once."""
    async with start(imc.url) as gateway:
        await gateway.told_of("connected")
        imc.proxy.swallow_replies()
        await gateway.send("once", "m1")

        async def is_in_the_log() -> bool:
            page = await imc.client.call(calls.messages(app_id, group_id="lobby", with_total=True))
            return page.total == 1

        await wait_until(is_in_the_log, what="the message")
        imc.proxy.pass_replies()
        [answer] = await gateway.told_of("sent")
        assert (answer["key"], answer["duplicate"]) == ("m1", True)
        await gateway.sent("next")
        assert contents(await gateway.take(2)) == ["once", "next"]


async def test_a_new_process_goes_on_after_what_was_done(
    start: Start, imc: Installation, app_id: str, tmp_path: Path
) -> None:
    store = str(tmp_path / "position")
    bodies = [message_body(app_id, "lobby", "bob", str(number)) for number in range(5)]
    async with start(imc.url, store=store) as first:
        await first.told_of("connected")
        await imc.client.call(calls.send_messages(bodies))
        assert contents(await first.take(2)) == ["0", "1"]
        await first.end()
    async with start(imc.url, store=store) as second:
        assert contents(await second.take(2)) == ["2", "3"]
    # The one before was killed: its last event was not done.
    async with start(imc.url, store=store) as third:
        assert contents(await third.take(2))[-1] == "4"


async def test_a_new_process_begins_no_later_than_one_that_got_nothing(
    start: Start, imc: Installation, app_id: str, tmp_path: Path
) -> None:
    store = tmp_path / "position"
    async with start(imc.url, store=str(store)) as first:
        await first.told_of("connected")
        await first.write({"take": 1})
        await wait_until(store.exists, what="a position")
    await imc.client.call(calls.send_message(app_id, "lobby", "bob", "meanwhile"))
    async with start(imc.url, store=str(store)) as second:
        assert contents(await second.take(1)) == ["meanwhile"]


async def test_a_slow_loop_loses_nothing_and_its_sends_are_answered(
    start: Start, imc: Installation, app_id: str
) -> None:
    async with start(imc.url, buffer=4) as gateway:
        await gateway.told_of("connected")
        for first in range(0, 200, 50):
            bodies = [message_body(app_id, "lobby", "bob", str(first + n)) for n in range(50)]
            await imc.client.call(calls.send_messages(bodies))
        got: list[Event] = []
        for number in range(5):
            got += await gateway.take(3)
            assert (await gateway.sent(f"own {number}"))["event"] == "sent"
        got += await gateway.take(205 - len(got))
    assert contents(got) == [*map(str, range(200)), *(f"own {number}" for number in range(5))]


async def test_the_newer_of_two_stays(start: Start, imc: Installation) -> None:
    async with start(imc.url) as older:
        await older.told_of("connected")
        async with start(imc.url) as newer:
            await newer.told_of("connected")
            await older.write({"take": 1})
            assert await older.told_of("ended") == [{"event": "ended", "code": 4409, "kind": "Replaced"}]
            await newer.sent("here")
            assert contents(await newer.take(1)) == ["here"]


async def test_one_that_an_operator_disconnects_stays_away(
    start: Start, imc: Installation, app_id: str
) -> None:
    async with start(imc.url) as gateway, httpx.AsyncClient(trust_env=False, timeout=20) as http:
        await gateway.told_of("connected")
        reply = await http.post(f"{imc.process.url}/v1/gateways/{app_id}/g/disconnect", json={})
        assert reply.json()["data"] == {"disconnected": 1}
        await gateway.write({"take": 1})
        assert await gateway.told_of("ended") == [{"event": "ended", "code": 4410, "kind": "Disconnected"}]


async def test_a_gap_is_repaired_from_the_history(
    start: Start, imc: Installation, app_id: str, tmp_path: Path
) -> None:
    store = tmp_path / "position"
    async with start(imc.url, store=str(store)) as gateway:
        await gateway.sent("known")
        recalled = await gateway.sent("recalled later")
        await gateway.sent("still unread")
        assert len(await gateway.take(2)) == 2
        await gateway.end()
    await imc.client.call(calls.recall_message(app_id, recalled["id"]))
    await imc.client.call(calls.send_message(app_id, "other", "bob", "missed"))
    # A cursor of another log, as after Redis was lost.
    newest, _, cursor = store.read_text().partition(" ")
    store.write_text(f"{newest} 0f0f0f0f0f0f.{cursor.partition('.')[2]}")
    async with start(imc.url, "g2", store=str(store)) as gateway:
        events = await gateway.take(5)
        assert events[-1] == {"event": "gap", "isRepaired": True}
        assert sorted(contents(events)) == ["known", "missed", "still unread"]
        assert [event["id"] for event in events if event["event"] == "messageRecalled"] == [recalled["id"]]
        assert [event["isRepaired"] for event in events] == [True] * 5
        await gateway.sent("live")
        assert contents(await gateway.take(1)) == ["live"]
        await gateway.end()
    assert "0f0f" not in store.read_text()


@pytest.fixture(scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Process]:
    async with standalone(tmp_path_factory.mktemp("imc"), JWT) as deployment:
        yield deployment.push_nodes[0]


async def keep_fresh(path: Path, app_id: str) -> None:
    """Write tokens that last for some seconds, always a new one."""
    while True:
        fresh = path.with_name("fresh")
        fresh.write_text(token(app_id, "gateway send", lifetime=LIFETIME_SECONDS))
        fresh.replace(path)
        await asyncio.sleep(0.2)


async def test_a_token_is_renewed_before_it_ends_the_connection(
    start: Start, guarded: Process, app_id: str, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    writing = asyncio.create_task(keep_fresh(path, app_id))
    await wait_until(path.exists)
    try:
        async with (
            tcp_proxy("127.0.0.1", guarded.port) as proxy,
            start(f"ws://127.0.0.1:{proxy.port}", token=str(path)) as gateway,
        ):
            await gateway.told_of("connected")
            before = proxy.taken
            await gateway.told_of("token", count=5)
            await gateway.sent("still here")
            assert contents(await gateway.take(1)) == ["still here"]
            assert proxy.taken == before, "it connected again"
    finally:
        writing.cancel()


async def test_a_token_that_is_not_good_ends_it(start: Start, guarded: Process, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("bad")
    async with start(guarded.url, token=str(path)) as gateway:
        assert await gateway.told_of("ended") == [{"event": "ended", "code": 401, "kind": "Ended"}]
        assert len(gateway.all("token")) == 2, "a fresh one is tried once"


CONNECTED = json.dumps(
    {
        "success": True,
        "code": 2000,
        "message": "connected",
        "data": "connection successful",
        "cursor": "e.0-0",
    }
)


class Answers:
    """What a server that only looks like IMC does with each connection in turn, and what it saw."""

    def __init__(self) -> None:
        self.queries: list[str] = []
        self.frames: list[Event] = []
        self.closes: list[int] = []
        self.replies: list[Callable[[Event], Any]] = []

    async def serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.queries.append(socket.request.path.partition("?")[2])
        await socket.send(CONNECTED)
        if self.closes:
            await socket.close(self.closes.pop(0), "so it is")
            return
        with contextlib.suppress(Exception):
            async for text in socket:
                frame = json.loads(text)
                self.frames.append(frame)
                if self.replies:
                    await socket.send(json.dumps(self.replies.pop(0)(frame)))

    @staticmethod
    async def no_node(socket: ServerConnection, request: Request) -> Response | None:
        return socket.respond(503, "") if request.path.endswith("/node") else None


@pytest.fixture
async def answers() -> AsyncGenerator[tuple[Answers, str]]:
    answers = Answers()
    async with serve(answers.serve, "127.0.0.1", 0, process_request=Answers.no_node) as server:
        yield answers, address(server)


def address(server: Server) -> str:
    return f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1003, "Ended"),
        (1008, "Ended"),
        (4403, "Ended"),
        (4409, "Replaced"),
        (4410, "Disconnected"),
        (4499, "Ended"),
    ],
)
async def test_some_close_codes_are_final(
    start: Start, answers: tuple[Answers, str], code: int, kind: str
) -> None:
    server, url = answers
    server.closes = [code]
    async with start(url) as gateway:
        await gateway.send("never answered", "m1")
        await gateway.write({"take": 1})
        assert await gateway.told_of("ended") == [{"event": "ended", "code": code, "kind": kind}]
        assert len(server.queries) == 1


async def test_others_are_for_a_while_and_what_was_not_answered_is_sent_again(
    start: Start, answers: tuple[Answers, str]
) -> None:
    server, url = answers
    server.closes = [1000, 1001, 1011, 1012, 1013, 4408]
    server.replies = [accepted]
    async with start(url) as gateway:
        await gateway.send("again and again", "m1")
        assert [event["key"] for event in await gateway.told_of("sent")] == ["m1"]
    assert server.queries == ["", *["cursor=e.0-0"] * 6]
    assert {frame["clientMessageId"] for frame in server.frames} == {"m1"}


def accepted(frame: Event) -> Event:
    data = {
        "clientMessageId": frame["clientMessageId"],
        "messageId": "1",
        "createTime": 1,
        "duplicate": False,
    }
    return {"success": True, "code": 2003, "message": "accepted", "data": data}


async def test_a_send_that_is_refused_for_a_while_is_repeated_when_it_is_time(
    start: Start, answers: tuple[Answers, str]
) -> None:
    server, url = answers
    loop = asyncio.get_running_loop()
    asked: list[float] = []

    def later(frame: Event) -> Event:
        asked.append(loop.time())
        data = {
            "error": 42901,
            "retryable": True,
            "retryAfter": 700,
            "clientMessageId": frame["clientMessageId"],
        }
        return {"success": False, "code": 4001, "message": "later", "data": data}

    def now(frame: Event) -> Event:
        asked.append(loop.time())
        return accepted(frame)

    server.replies = [later, now]
    async with start(url) as gateway:
        assert (await gateway.sent("patient"))["event"] == "sent"
    assert asked[1] - asked[0] >= 0.7


async def test_a_node_that_can_t_be_reached_is_left_for_the_common_address(start: Start) -> None:
    async def lead(socket: ServerConnection, request: Request) -> Response | None:
        where = {"connectUrl": f"ws://127.0.0.1:{nobody}{request.path.removesuffix('/node')}"}
        is_question = request.path.endswith("/node")
        return socket.respond(200, json.dumps({"data": where})) if is_question else None

    nobody = free_port()
    answers = Answers()
    answers.replies = [accepted]
    async with (
        serve(answers.serve, "127.0.0.1", 0, process_request=lead) as server,
        start(address(server)) as gateway,
    ):
        assert (await gateway.sent("by the common address"))["event"] == "sent"
