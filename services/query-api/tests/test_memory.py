"""Tests that a reply never is in memory as a whole, however long it is."""

from collections.abc import AsyncGenerator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from imc_contracts.fields import MAX_CONTENT_BYTES
from imc_contracts.schema import GROUPS, MESSAGES, NOTICES
from imc_query_api.queries.listing import BATCH_BYTES, BATCH_ROWS, SizedRow, batches_of
from imc_service.database.database import open_database
from imc_testkit.processes import Process
from imc_testkit.proxy import TcpProxy, tcp_proxy
from imc_testkit.tokens import OFF

ROWS = 600
FIRST_ID = 10**18
ESCAPED_BYTES = 6 * MAX_CONTENT_BYTES  # each control character is six bytes of JSON
MOST_BYTES = 32 * 2**20


@pytest.fixture
async def proxy(database_url: str) -> AsyncGenerator[TcpProxy]:
    """Stands between query-api and the database."""
    url = urlsplit(database_url)
    assert url.hostname
    assert url.port
    async with tcp_proxy(url.hostname, url.port) as proxy:
        yield proxy


@pytest.fixture
async def process(database_url: str, proxy: TcpProxy, app_id: str) -> AsyncGenerator[Process]:
    """A query-api on 600 messages and notices whose contents are as long as JSON can make them."""
    common = (
        "app_id, group_id, user_id, content, create_time)"
        f" SELECT {FIRST_ID} + CRC32('{app_id}') * 1000 + seq, '{app_id}', 'g', 'u',"
        f" REPEAT(CHAR(1), {MAX_CONTENT_BYTES}), 1000 + seq FROM seq_1_to_{ROWS}"
    )
    async with open_database(database_url) as database, database.session() as session:
        await session.execute(f"INSERT INTO {MESSAGES} (message_id, {common}")
        await session.execute(f"INSERT INTO {NOTICES} (information_id, {common}")
        await session.execute(
            f"INSERT INTO {GROUPS} SELECT app_id, CONCAT('g', message_id), 1, message_id, create_time"
            f" FROM {MESSAGES} WHERE app_id = ?",
            (app_id,),
        )
    through = database_url.replace(f":{urlsplit(database_url).port}/", f":{proxy.port}/")
    async with Process("imc-query-api", {**OFF, "IMC_DATABASE_URL": through}) as process:
        await process.ready()
        yield process


def peak_bytes(pid: int) -> int:
    """The most memory that a process has used so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    [kilobytes] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(kilobytes) * 1024


async def test_a_long_reply_is_never_in_memory_as_a_whole(process: Process, app_id: str) -> None:
    async with httpx.AsyncClient(base_url=process.url, trust_env=False, timeout=60) as client:
        assert (await client.get("/v1/queries/groups", params={"appId": app_id, "limit": 1})).is_success
        before = peak_bytes(process.pid)
        for path, count in (
            ("/v1/queries/messages?groupId=g", 50),
            ("/v1/queries/messages?groupId=g&limit=500", 500),
            ("/v1/queries/notices?groupId=g&limit=500", 500),
            ("/v1/queries/groups?limit=500", 500),
            ("/chat/message/findByGroupId?groupId=g&pageSize=-1", ROWS),
        ):
            ids = size = 0
            async with client.stream(
                "GET", path, params={**httpx.URL(path).params, "appId": app_id}
            ) as reply:
                assert reply.status_code == 200
                end = b""
                async for part in reply.aiter_bytes():
                    size += len(part)
                    ids += (end + part).count(b'"createTime"')
                    end = part[-len(b'"createTime"') + 1 :]
            assert ids == count
            assert size > count * ESCAPED_BYTES
            assert peak_bytes(process.pid) - before < MOST_BYTES, path


async def test_a_reply_that_can_not_be_finished_is_cut_off(
    process: Process, proxy: TcpProxy, app_id: str
) -> None:
    asked = {"appId": app_id, "groupId": "g", "limit": 500}
    async with httpx.AsyncClient(base_url=process.url, trust_env=False, timeout=60) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            async with client.stream("GET", "/v1/queries/messages", params=asked) as reply:
                assert reply.status_code == 200
                async for _ in reply.aiter_bytes():
                    proxy.refuse()
        refused = await client.get("/v1/queries/messages", params=asked)
        assert (refused.status_code, refused.json()["code"]) == (503, 50301)
        assert int(refused.headers["Retry-After"]) >= 1
        await proxy.accept()
        again = await client.get("/v1/queries/messages", params={**asked, "limit": 1})
        assert again.status_code == 200


def test_batches_are_bounded_in_rows_and_bytes() -> None:
    def sizes(*rows: int) -> list[list[int]]:
        return [[row.size for row in batch] for batch in batches_of([SizedRow(1, 1, size) for size in rows])]

    half = BATCH_BYTES // 2
    assert sizes() == []
    assert sizes(0) == [[0]]
    assert sizes(half, half, 0, 1) == [[half, half, 0], [1]]
    assert sizes(half, half + 1) == [[half], [half + 1]]
    assert sizes(BATCH_BYTES + 1, 0) == [[BATCH_BYTES + 1], [0]]
    assert [len(batch) for batch in sizes(*[0] * (2 * BATCH_ROWS + 1))] == [BATCH_ROWS, BATCH_ROWS, 1]
