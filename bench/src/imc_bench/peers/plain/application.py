"""A plain message center: FastAPI, redis-py and databases, without optimizations.

It writes to a stream and a channel, and reads the same table as IMC. It omits most guarantees of IMC
(idempotency, recalls, order of pushes, limits), which makes it faster, not slower.
"""

import contextlib
import json
import os
import time
import uuid
from collections.abc import AsyncGenerator
from typing import Any

import databases
from fastapi import FastAPI
from pydantic import BaseModel
from redis.asyncio import Redis


class NewMessage(BaseModel):
    """The body of a send."""

    appId: str
    groupId: str
    userId: str
    content: str
    type: int | None = None


class Receipt(BaseModel):
    """The reply to a send."""

    messageId: str
    createTime: int
    cursor: str


class Message(BaseModel):
    """A message in a page."""

    messageId: str
    appId: str
    groupId: str
    userId: str
    content: str
    createTime: int
    recallTime: int
    recallCause: str | None
    status: int
    type: int | None


class Page(BaseModel):
    """A page of a history."""

    total: int
    pageMessageList: list[Message]


_COUNT = "SELECT COUNT(*) FROM imc_message WHERE app_id = :app_id AND group_id = :group_id"
_PAGE = """
    SELECT
        message_id, app_id, group_id, user_id, content, create_time, recall_time, recall_cause, status, type
    FROM imc_message
    WHERE app_id = :app_id AND group_id = :group_id
    ORDER BY create_time, message_id
    LIMIT :size OFFSET :offset
"""


def create_app() -> FastAPI:
    """Build the application; it reads REDIS_URL and DATABASE_URL."""
    redis: Any = Redis.from_url(os.environ["REDIS_URL"])  # pyright: ignore[reportUnknownMemberType]
    database: Any = databases.Database(os.environ["DATABASE_URL"], charset="utf8mb4")

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        async with database:
            yield
        await redis.aclose()

    app = FastAPI(lifespan=lifespan)

    @app.get("/readyz")
    async def readyz() -> str:
        return "ready"

    @app.post("/v1/commands/send-message")
    async def create(message: NewMessage) -> Receipt:
        message_id, create_time = uuid.uuid4().hex, int(time.time() * 1000)
        body = json.dumps({"messageId": message_id, "createTime": create_time, **message.model_dump()})
        entry = await redis.xadd(f"plain:{message.appId}", {"message": body})
        await redis.publish(f"plain:{message.appId}:live", body)
        return Receipt(messageId=message_id, createTime=create_time, cursor=entry)

    @app.get("/chat/message/findByGroupId")
    async def find_by_group_id(appId: str, groupId: str, pageNum: int = 1, pageSize: int = 20) -> Page:
        group = {"app_id": appId, "group_id": groupId}
        total = await database.fetch_val(_COUNT, group)
        rows = await database.fetch_all(
            _PAGE, {**group, "size": pageSize, "offset": (pageNum - 1) * pageSize}
        )
        return Page(total=total, pageMessageList=[_message(row) for row in rows])

    return app


def _message(row: Any) -> Message:
    return Message(
        messageId=str(row["message_id"]),
        appId=row["app_id"],
        groupId=row["group_id"],
        userId=row["user_id"],
        content="" if row["status"] == 0 else row["content"],
        createTime=row["create_time"],
        recallTime=row["recall_time"],
        recallCause=row["recall_cause"],
        status=row["status"],
        type=row["type"],
    )
