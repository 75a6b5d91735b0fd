"""Tests queries and readiness while the database is down, and after it is back."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from imc_testkit.child import free_port
from imc_testkit.waiting import wait_until

V1_QUERIES = [
    "/v1/queries/messages?appId=a&groupId=g",
    "/v1/queries/message?appId=a&messageId=1",
    "/v1/queries/groups?appId=a",
    "/v1/queries/notices?appId=a&userId=u",
]
JAVA_QUERIES = [
    "/chat/message/findByGroupId?appId=a&groupId=g",
    "/chat/message/findByUserId?appId=a&userId=u",
    "/chat/message/findByGroupIdAndUserId?appId=a&groupId=g&userId=u",
    "/chat/message/findBeforeByMessageId?appId=a&groupId=g&messageId=1",
    "/chat/message/findAfterByMessageId?appId=a&groupId=g&messageId=1",
    "/chat/group/findGroupListByUserId?appId=a&userId=u",
    "/notice/information/findByGroupId?appId=a&groupId=g",
    "/notice/information/findByUserId?appId=a&userId=u",
    "/notice/information/findByGroupIdAndUserId?appId=a&groupId=g&userId=u",
]


@contextlib.asynccontextmanager
async def forward(url: str, port: int) -> AsyncGenerator[None]:
    """Forward ``port`` to the database of ``url``, and close all connections at the end."""
    target = urlsplit(url)
    writers: set[asyncio.StreamWriter] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there = await asyncio.open_connection(target.hostname, target.port)
        writers.update((writer, there))
        await asyncio.gather(copy(reader, there), copy(there_reader, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        for writer in writers:
            writer.close()
        for writer in writers:
            with contextlib.suppress(OSError):
                await writer.wait_closed()


QUERIES = V1_QUERIES + JAVA_QUERIES


async def status(client: httpx.AsyncClient, path: str) -> int:
    return (await client.get(path)).status_code


async def assert_not_ready(client: httpx.AsyncClient, reason: str) -> None:
    assert await status(client, "/livez") == 200
    ready = await client.get("/readyz")
    assert ready.status_code == 503
    assert reason in ready.json()["reasons"][0]
    for query in QUERIES:
        reply = await client.get(query)
        assert (reply.status_code, reply.json()["code"]) == (503, 50301 if query in V1_QUERIES else -1)
        assert reply.json()["success"] is False
        assert int(reply.headers["Retry-After"]) >= 1


async def test_queries_work_whenever_the_database_is_up(serving: Any, database_url: str) -> None:
    port = free_port()
    url = urlsplit(database_url)
    through = url._replace(netloc=url.netloc.replace(f":{url.port}", f":{port}")).geturl()
    async with serving(through) as client:
        await assert_not_ready(client, "out of reach (2003 ")
        for _ in range(2):
            async with forward(database_url, port):
                await wait_until(lambda: _is(client, "/readyz", 200), what="readiness")
                for query in QUERIES:
                    expected = 404 if query.startswith("/v1/queries/message?") else 200
                    assert await status(client, query) == expected
            await assert_not_ready(client, "out of reach (")


async def test_a_database_that_was_never_migrated_is_not_ready(
    serving: Any, tmp_path: Path, migrated_sqlite: Path
) -> None:
    async with serving(f"sqlite:///{tmp_path / 'late.db'}") as client:
        await assert_not_ready(client, "no such table: imc_")
        shutil.copy(migrated_sqlite, tmp_path / "late.db")
        assert await status(client, "/readyz") == 200
        assert await status(client, QUERIES[0]) == 200


async def test_the_time_of_database_queries_is_measured(serving: Any, store_url: str) -> None:
    async with serving(store_url) as client:
        assert await status(client, QUERIES[0]) == 200
        metrics = (await client.get("/metrics")).text
    assert "imc_query_store_seconds_count 1.0" in metrics
    assert 'imc_http_requests_total{path="/v1/queries/messages",status="200"} 1.0' in metrics


async def _is(client: httpx.AsyncClient, path: str, wanted: int) -> bool:
    return await status(client, path) == wanted
