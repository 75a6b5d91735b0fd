"""A group chat on IMC: a gateway that holds browsers. Run `make demo` for two of them with an IMC.

Each browser keeps one WebSocket and is in one room, which is a group of IMC. Names are taken as they are
given: a chat of your own would sign its users in.
"""

import argparse
import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Awaitable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import uvicorn
from fastapi import FastAPI, WebSocket
from fastapi.staticfiles import StaticFiles
from imc_gateway import (
    AsyncClient,
    Ended,
    Event,
    Gateway,
    ImcError,
    Message,
    MessageRecalled,
    MessageSent,
    Notice,
    NoticeDeleted,
    NoticePublished,
    calls,
    connect,
)
from starlette.types import Receive, Scope, Send

APP_ID = "group-chat"
PAGE = 30
QUEUE = 500
"""How much may wait for one browser. One that is slower than that is sent away, and comes back."""

Frame = dict[str, Any]


def message_view(message: Message) -> Frame:
    """A message as browsers get it."""
    return {
        "id": message.message_id,
        "name": message.user_id,
        "content": message.content,
        "time": message.create_time,
        "isRecalled": message.is_recalled,
    }


def notice_view(notice: Notice) -> Frame:
    """A notice as browsers get it."""
    return {"id": notice.information_id, "name": notice.user_id, "content": notice.content}


class Browser:
    """A browser in a room. What it is told waits in a queue, so that a slow one holds up nobody."""

    def __init__(self, socket: WebSocket, room: str, name: str) -> None:
        self.room = room
        self.name = name
        self._socket = socket
        self._queue: asyncio.Queue[Frame] = asyncio.Queue(QUEUE)
        self.writing = asyncio.create_task(self._write())

    def tell(self, kind: str, **fields: Any) -> None:
        """Tell it something, in the order of calls. If it is too slow, its ``writing`` ends."""
        try:
            self._queue.put_nowait({"kind": kind, **fields})
        except asyncio.QueueFull:
            self.writing.cancel()

    async def _write(self) -> None:
        while True:
            await self._socket.send_json(await self._queue.get())


class Chat:
    """All browsers of this gateway, and what IMC tells it."""

    def __init__(self, imc: Gateway, commands: AsyncClient, queries: AsyncClient) -> None:
        self._imc = imc
        self._commands = commands
        self._queries = queries
        self._browsers: set[Browser] = set()

    async def follow(self) -> None:
        """Hand on each event, until IMC wants this gateway no more."""
        try:
            async for event in self._imc:
                self._hand_on(event)
        except Ended as ended:
            self._tell_all("ended", reason=str(ended))

    async def report(self) -> None:
        """Tell browsers when the connection to IMC is lost, and when it is back."""
        was_connected = True
        while True:
            if self._imc.is_connected != was_connected:
                was_connected = not was_connected
                self._tell_all("imc", isConnected=was_connected)
            await asyncio.sleep(0.2)

    async def join(self, browser: Browser) -> None:
        """Show a browser its room. From here on it is told of all that happens there."""
        self._browsers.add(browser)
        browser.tell("imc", isConnected=self._imc.is_connected)
        rooms = await self._queries.call(calls.groups(APP_ID, limit=50))
        browser.tell("rooms", rooms=[group.group_id for group in rooms.items])
        # With all that was handed on before this browser was in the room.
        cursor = self._imc.cursor
        notices = calls.notices(APP_ID, group_id=browser.room, limit=5, min_cursor=cursor)
        browser.tell(
            "notices", notices=[notice_view(each) for each in (await self._queries.call(notices)).items]
        )
        await self.show_history(browser, None, cursor)

    async def show_history(self, browser: Browser, before: str | None, cursor: str | None = None) -> None:
        """Show a browser a page of its room: the newest, or that before a message."""
        call = calls.messages(APP_ID, group_id=browser.room, before=before, limit=PAGE, min_cursor=cursor)
        page = await self._queries.call(call)
        messages = [message_view(message) for message in page.items]
        browser.tell("history", messages=messages, hasMore=page.has_more, isNewest=before is None)

    def leave(self, browser: Browser) -> None:
        """A browser is gone."""
        self._browsers.discard(browser)

    async def carry_out(self, browser: Browser, frame: Frame) -> None:
        """Do what a browser asks for. Raises `ImcError`, and `httpx.HTTPError` if IMC is out of reach."""
        match frame:
            case {"kind": "send", "key": str(key), "content": str(content)}:
                # The key stays the same when the browser repeats the send: it is one message.
                sent = await self._imc.send(browser.room, browser.name, content, client_message_id=key)
                browser.tell("sent", key=key, id=sent.message_id, time=sent.create_time)
            case {"kind": "older", "before": str(before)}:
                await self.show_history(browser, before)
            case {"kind": "recall", "id": str(message_id)}:
                asked = calls.message(APP_ID, message_id, min_cursor=self._imc.cursor)
                if (await self._queries.call(asked)).user_id != browser.name:
                    raise ImcError(40301, "only one's own messages can be recalled", is_retryable=False)
                await self._commands.call(calls.recall_message(APP_ID, message_id))
            case {"kind": "notice", "content": str(content)}:
                await self._commands.call(calls.publish_notice(APP_ID, browser.room, browser.name, content))
            case {"kind": "deleteNotice", "id": str(information_id)}:
                await self._commands.call(calls.delete_notice(APP_ID, information_id))
            case _:
                raise ImcError(40001, "this frame is of no kind that is known", is_retryable=False)

    def _hand_on(self, event: Event) -> None:
        match event:
            case MessageSent(message):
                self._tell_room(message.group_id, "message", message=message_view(message))
                self._tell_all("activity", room=message.group_id)
            case MessageRecalled(message):
                self._tell_room(message.group_id, "recalled", id=message.message_id)
            case NoticePublished(notice):
                self._tell_room(notice.group_id, "notice", notice=notice_view(notice))
            case NoticeDeleted(notice):
                self._tell_room(notice.group_id, "noticeDeleted", id=notice.information_id)
            case _:  # a gap: the pages are shown anew, with what was missed
                self._tell_all("reload")

    def _tell_room(self, room: str, kind: str, **fields: Any) -> None:
        for browser in self._browsers:
            if browser.room == room:
                browser.tell(kind, **fields)

    def _tell_all(self, kind: str, **fields: Any) -> None:
        for browser in self._browsers:
            browser.tell(kind, **fields)


async def serve_browser(chat: Chat, socket: WebSocket, room: str, name: str) -> None:
    """Serve one browser until it leaves, or is too slow."""
    if urlsplit(socket.headers.get("origin", "")).netloc != socket.headers.get("host"):
        return await socket.close(1008, "pages of other sites may not connect")
    await socket.accept()
    browser = Browser(socket, room, name)
    reading = asyncio.create_task(read(chat, browser, socket))
    try:
        await asyncio.wait({reading, browser.writing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        chat.leave(browser)
        reading.cancel()
        browser.writing.cancel()
        await asyncio.gather(reading, browser.writing, return_exceptions=True)


async def read(chat: Chat, browser: Browser, socket: WebSocket) -> None:
    """Answer everything that a browser asks for, one after the other. Raises `WebSocketDisconnect`."""
    await answered(browser, chat.join(browser))
    while True:
        frame = await socket.receive_json()
        await answered(browser, chat.carry_out(browser, frame), frame)


async def answered(browser: Browser, work: Awaitable[None], about: Frame | None = None) -> None:
    """Do something for a browser; if it can't be done, say so."""
    try:
        await work
    except (ImcError, Ended) as refused:
        browser.tell("failed", about=about, reason=str(refused))
    except httpx.HTTPError:
        browser.tell("failed", about=about, reason="IMC is out of reach: try again")


class Pages(StaticFiles):
    """The files of the page. They load nothing from other hosts."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                policy = b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
                message["headers"] += [(b"content-security-policy", policy), (b"cache-control", b"no-cache")]
            await send(message)

        await super().__call__(scope, receive, send_with_policy)


def create_app(gateway_id: str, push: str, commands: str, queries: str, token: str | None) -> FastAPI:
    """The application: the page, and the WebSocket of the browsers."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        imc = connect(push, APP_ID, gateway_id, token=token, notices=True, queries_url=queries)
        async with imc, AsyncClient(commands, token=token) as to, AsyncClient(queries, token=token) as of:
            app.state.chat = chat = Chat(imc, to, of)
            tasks = [asyncio.create_task(chat.follow()), asyncio.create_task(chat.report())]
            yield
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    app = FastAPI(lifespan=lifespan, openapi_url=None)

    @app.websocket("/chat")
    async def chat(socket: WebSocket, room: str, name: str) -> None:  # pyright: ignore[reportUnusedFunction]
        await serve_browser(app.state.chat, socket, room, name)

    app.mount("/", Pages(directory=Path(__file__).parent / "static", html=True))
    return app


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="A group chat on IMC. IMC_TOKEN may hold a token.")
    parser.add_argument("--port", type=int, default=9001)
    parser.add_argument("--gateway-id", default="chat-1")
    for name, purpose in (
        ("push", "gateways connect"),
        ("commands", "commands go"),
        ("queries", "queries go"),
    ):
        parser.add_argument(
            f"--{name}", default="http://127.0.0.1:8000", metavar="URL", help=f"where {purpose}"
        )
    given = parser.parse_args()
    app = create_app(given.gateway_id, given.push, given.commands, given.queries, os.environ.get("IMC_TOKEN"))
    uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="warning", ws_max_size=262_144)


if __name__ == "__main__":
    main()
