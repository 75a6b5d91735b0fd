"""The gateway of the group chat, asked by WebSockets as its page asks it."""

import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from imc_testkit.child import free_port
from imc_testkit.deployment import standalone
from imc_testkit.processes import Process
from imc_testkit.waiting import wait_until
from project_files import ROOT
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

Frame = dict[str, Any]

PROGRAM = str(ROOT / "examples/group-chat/chat.py")
ANSWER_SECONDS = 60


class Browser:
    """What the page does, without the page."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._frames: list[Frame] = []

    async def ask(self, kind: str, **fields: Any) -> None:
        """Ask for something."""
        await self.write(json.dumps({"kind": kind, **fields}))

    async def write(self, text: str) -> None:
        """Write a frame as it is."""
        await self._socket.send(text)

    async def told(self, kind: str, **fields: Any) -> Frame:
        """The first frame of a kind, with these fields, that was not asked for before; waits for it.

        Raises `AssertionError` if something failed.
        """
        while True:
            for frame in self._frames:
                if frame["kind"] == kind and fields.items() <= frame.items():
                    self._frames.remove(frame)
                    return frame
            self._frames.append(frame := json.loads(await self._socket.recv()))
            assert kind == "failed" or frame["kind"] != "failed", frame


class Chat:
    """A chat on a standalone of its own."""

    def __init__(self, imc: Process, process: Process) -> None:
        self.imc = imc
        self.process = process

    @contextlib.asynccontextmanager
    async def browser(self, name: str, room: str = "lobby", **options: Any) -> AsyncGenerator[Browser]:
        """A browser that has joined a room."""
        url = f"{self.process.url.replace('http', 'ws')}/chat?{urlencode({'name': name, 'room': room})}"
        options.setdefault("origin", self.process.url)
        async with connect(url, proxy=None, open_timeout=ANSWER_SECONDS, **options) as socket:
            yield Browser(socket)


@pytest.fixture(scope="module")
async def chat(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Chat]:
    async with standalone(tmp_path_factory.mktemp("imc")) as deployment:
        imc = deployment.push_nodes[0]
        urls = [part for name in ("push", "commands", "queries") for part in (f"--{name}", imc.url)]
        port = free_port()
        process = Process("python", {}, port, arguments=[PROGRAM, "--port", str(port), *urls])
        async with process, httpx.AsyncClient(trust_env=False) as client:

            async def answers() -> bool:
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get(process.url)).status_code == 200
                return False

            await wait_until(answers, ANSWER_SECONDS, what="the chat to answer")
            yield Chat(imc, process)


async def test_a_message_comes_to_everybody_in_its_room_and_is_in_the_history(chat: Chat) -> None:
    async with (
        chat.browser("ann", "a") as ann,
        chat.browser("bob", "a") as bob,
        chat.browser("cid", "b") as cid,
    ):
        for each in (ann, bob, cid):
            assert (await each.told("history"))["messages"] == []
        await ann.ask("send", key="k1", content="hello")
        sent = await ann.told("sent", key="k1")
        for each in (ann, bob):
            message = (await each.told("message"))["message"]
            assert (message["id"], message["name"], message["content"]) == (sent["id"], "ann", "hello")
        assert await cid.told("activity") == {"kind": "activity", "room": "a"}
        await ann.ask("send", key="k1", content="hello")
        assert (await ann.told("sent", key="k1"))["id"] == sent["id"]
    async with chat.browser("dan", "a") as dan:
        assert [each["id"] for each in (await dan.told("history"))["messages"]] == [sent["id"]]


async def test_only_one_s_own_messages_are_recalled(chat: Chat) -> None:
    async with chat.browser("ann", "recalls") as ann, chat.browser("bob", "recalls") as bob:
        await ann.ask("send", key="k2", content="a slip")
        sent = (await bob.told("message"))["message"]
        await bob.ask("recall", id=sent["id"])
        assert "40301" in (await bob.told("failed"))["reason"]
        await ann.told("message")
        await ann.ask("recall", id=sent["id"])
        assert (await bob.told("recalled"))["id"] == sent["id"]
        await ann.ask("recall", id=sent["id"])
        assert "40901" in (await ann.told("failed"))["reason"]


@pytest.mark.parametrize("frame", [{}, {"kind": "none"}, {"kind": "send"}, {"kind": "send", "key": 1}, [], 1])
async def test_a_frame_that_means_nothing_is_answered(chat: Chat, frame: Any) -> None:
    async with chat.browser("ann") as ann:
        await ann.told("history")
        await ann.write(json.dumps(frame))
        assert await ann.told("failed", about=frame) == {
            "kind": "failed",
            "about": frame,
            "reason": "40001: this frame is of no kind that is known",
        }


async def test_what_is_no_json_ends_the_connection(chat: Chat) -> None:
    async with chat.browser("ann") as ann:
        await ann.told("history")
        await ann.write("{")
        with pytest.raises(ConnectionClosed):
            await ann.told("none")


async def test_a_room_that_can_t_be_is_told(chat: Chat) -> None:
    async with chat.browser("ann", " ") as ann:
        assert "groupId" in (await ann.told("failed", about=None))["reason"]


async def test_a_page_of_another_site_is_refused(chat: Chat) -> None:
    for origin in ("http://elsewhere.example", None):
        with pytest.raises(InvalidStatus) as refused:
            async with chat.browser("ann", origin=origin):
                pass
        assert refused.value.response.status_code == 403


async def test_a_lost_imc_is_told_and_what_is_sent_meanwhile_arrives(chat: Chat) -> None:
    async with chat.browser("ann", "lost") as ann:
        await ann.told("imc", isConnected=True)
        await ann.told("history")
        await chat.imc.kill()
        await ann.told("imc", isConnected=False)
        await ann.ask("send", key="k3", content="meanwhile")
        await chat.imc.start()
        await ann.told("imc", isConnected=True)
        sent = await ann.told("sent", key="k3")
    async with chat.browser("bob", "lost") as bob:
        assert [each["id"] for each in (await bob.told("history"))["messages"]] == [sent["id"]]
