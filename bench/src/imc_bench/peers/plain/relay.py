"""Plain pushes: a set of sockets per app, and ``await send_text`` for each of them."""

import asyncio
import contextlib
import os
from collections import defaultdict
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from redis.asyncio import Redis


class ConnectionManager:
    """The sockets of each app."""

    def __init__(self) -> None:
        self._sockets: dict[str, set[WebSocket]] = defaultdict(set)

    async def connect(self, app_id: str, websocket: WebSocket) -> None:
        """Accept a listener."""
        await websocket.accept()
        self._sockets[app_id].add(websocket)

    def disconnect(self, app_id: str, websocket: WebSocket) -> None:
        """Remove a listener."""
        self._sockets[app_id].discard(websocket)

    async def broadcast(self, app_id: str, text: str) -> None:
        """Send to all listeners of an app."""
        for websocket in list(self._sockets[app_id]):
            await websocket.send_text(text)


async def relay(redis: Any, manager: ConnectionManager) -> None:
    """Send each published message to the listeners of its app."""
    async with redis.pubsub() as pubsub:
        await pubsub.psubscribe("plain:*:live")
        async for message in pubsub.listen():
            if message["type"] == "pmessage":
                app_id = message["channel"].split(":")[1]
                await manager.broadcast(app_id, message["data"])


def create_app() -> FastAPI:
    """Build the application; it reads REDIS_URL."""
    manager = ConnectionManager()

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        redis: Any = Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)  # pyright: ignore[reportUnknownMemberType]
        relaying = asyncio.create_task(relay(redis, manager))
        yield
        relaying.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await relaying
        await redis.aclose()

    app = FastAPI(lifespan=lifespan)

    @app.get("/readyz")
    async def readyz() -> str:
        return "ready"

    @app.websocket("/listen/{app_id}")
    async def listen(websocket: WebSocket, app_id: str) -> None:
        await manager.connect(app_id, websocket)
        try:
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect:
            manager.disconnect(app_id, websocket)

    return app
