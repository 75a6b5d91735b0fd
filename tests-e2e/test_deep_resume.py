"""Tests gateways that resume from before the start of the log, through whole installations."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
from imc_command_api.projector.logs import Logs, Retention
from imc_contracts import names
from imc_contracts.cursor import Cursor
from imc_service.redis.masters import Masters
from imc_testkit.databases import new_database, run
from imc_testkit.deployment import Deployment, Start, separate, standalone
from imc_testkit.events import read_page
from imc_testkit.gateway import Frame, Gateway, connect
from imc_testkit.processes import run_script
from imc_testkit.servers import PrivateRedis, private_redis
from imc_testkit.tokens import JWT, token
from imc_testkit.waiting import wait_until
from redis.asyncio import Redis

BODY = {"groupId": "g", "userId": "u"}
MISSED = 100_000
MISS = """
    INSERT INTO imc_message
        (message_id, app_id, group_id, user_id, content, create_time, status, log_id, last_log_id)
    SELECT
        {first_id} + seq, '{app_id}', 'g', 'u', CONCAT('missed ', seq), {at.ms}, 1,
        CONCAT('{at.ms:011x}', LPAD(LOWER(HEX({at.seq} + seq)), 9, '0')),
        CONCAT('{at.ms:011x}', LPAD(LOWER(HEX({at.seq} + seq)), 9, '0'))
    FROM seq_1_to_{count}
"""


@pytest.fixture(scope="module")
async def own_redis() -> AsyncGenerator[PrivateRedis]:
    async with private_redis() as server:
        yield server


@pytest.fixture(scope="module")
async def own_database_url(database_server_url: str) -> AsyncGenerator[str]:
    async with new_database(database_server_url) as url:
        await run_script("imc-migrate", {"IMC_DATABASE_URL": url})
        yield url


@pytest.fixture(scope="module")
async def deployment(own_redis: PrivateRedis, own_database_url: str) -> AsyncGenerator[Deployment]:
    one = (Start(),)
    async with separate(
        own_redis.url, own_database_url, JWT, command_apis=one, projectors=one, push_nodes=one
    ) as installation:
        yield installation


@pytest.fixture
async def redis(own_redis: PrivateRedis) -> AsyncGenerator[Redis]:
    async with Redis.from_url(own_redis.url) as client:
        yield client


async def trim(redis: Redis, app_id: str) -> Cursor:
    """Wait for the projection, trim the log as the projector does, and return the first entry left."""

    async def is_projected() -> bool:
        fields: Any = await redis.hmget(names.log_state(app_id), ["last", "projected"])
        return fields[0] is not None and fields[0] == fields[1]

    await wait_until(is_projected, what="all entries to be projected")
    logs = await asyncio.to_thread(Logs, Masters(redis), "trimmer", Retention(0, 1, 86_400_000))
    while (await logs.tidy(app_id))[0]:
        pass
    entries: Any = await redis.xrange(names.log(app_id))
    epoch: Any = await redis.hget(names.log_state(app_id), "epoch")  # pyright: ignore
    ((first, _),) = entries
    return Cursor.parse(f"{epoch.decode()}.{first.decode()}")


async def send_many(client: Any, app_id: str, contents: list[str]) -> list[dict[str, Any]]:
    receipts: list[dict[str, Any]] = []
    for start in range(0, len(contents), 500):
        batch = [{**BODY, "appId": app_id, "content": content} for content in contents[start : start + 500]]
        receipts += (await client.post("/v1/commands/send-messages", {"messages": batch}))["data"]
    assert all("messageId" in receipt for receipt in receipts)
    return receipts


async def recall(client: Any, receipts: list[dict[str, Any]]) -> set[str]:
    ids = [receipt["messageId"] for receipt in receipts]
    replies = await asyncio.gather(*(client.post("/chat/message/recall", {"messageId": id_}) for id_ in ids))
    assert {reply["code"] for reply in replies} == {0}
    return set(ids)


async def notices(client: Any, app_id: str, count: int) -> list[str]:
    body = {**BODY, "appId": app_id, "content": "notice"}
    replies = [await client.post("/v1/commands/publish-notice", body) for _ in range(count)]
    return [reply["data"]["informationId"] for reply in replies]


async def delete(client: Any, ids: list[str]) -> None:
    for id_ in ids:
        assert (await client.post("/notice/information/delete", {"informationId": id_}))["code"] == 0


def pushes(gateway: Gateway, after: str = "") -> list[Frame]:
    """The pushes that the gateway received after the push with this cursor."""
    found = [frame for frame in gateway.frames if frame["code"] in (2001, 2002, 2004, 2005)]
    cursors = [frame["cursor"] for frame in found]
    return found[cursors.index(after) + 1 :] if after else found


def contents(gateway: Gateway) -> list[str]:
    return [push["data"]["content"] for push in gateway.with_code(2001)]


async def test_a_deep_resume_gets_missed_and_live_events_once_and_in_order(
    client: Any, redis: Redis, app_id: str
):
    async with client.gateway(app_id, "witness", notices=True) as witness:
        await witness.wait_for_code(2000)
        start = (await client.send(app_id, "seen"))["cursor"]
        sent = await send_many(client, app_id, [f"missed {n}" for n in range(3000)])
        pinned = await notices(client, app_id, 6)
        recalled = await recall(client, sent[::60])
        await delete(client, pinned[:2])
        trimmed = await trim(redis, app_id)
        recalled |= await recall(client, sent[7::60])
        await delete(client, pinned[2:4])
        await send_many(client, app_id, ["still in the log"] * 300)

        async def send_live() -> set[str]:
            late: list[dict[str, Any]] = []
            for n in range(150):
                late.append(await client.send(app_id, f"live {n}"))
                if n % 10 == 5:
                    await recall(client, late[-3:-2])
            return {receipt["messageId"] for receipt in late}

        live, plain, informed = await asyncio.gather(
            send_live(),
            follow(client, app_id, "plain", start, notices=False),
            follow(client, app_id, "informed", start, notices=True),
        )
        await witness.wait_for(lambda frame: frame["data"] and contents_of(frame) == "live 149")
    for gateway, codes in ((plain, (2001, 2002)), (informed, (2001, 2002, 2004, 2005))):
        expected = [push for push in pushes(witness, start) if push["code"] in codes]
        found = pushes(gateway)
        assert len(found) > 3500
        assert [(push["code"], push["cursor"]) for push in found] == [
            (push["code"], push["cursor"]) for push in expected
        ]
        assert gateway.frames[0]["recovered"]
        assert gateway.with_code(4002) == []
        masked = {push["data"]["messageId"]: push["data"] for push in expected if push["code"] == 2002}
        for one, other in zip(found, expected, strict=True):
            id_ = one["data"].get("messageId")
            if one["code"] != 2001 or id_ not in masked:
                assert one == other
            elif id_ in recalled:
                assert one["data"] == masked[id_]
            else:
                assert id_ in live
                assert one["data"] in (other["data"], masked[id_])
    assert any(Cursor.parse(push["cursor"]) < trimmed for push in pushes(plain))


async def test_pages_over_http_go_back_into_the_database(client: Any, redis: Redis, app_id: str):
    async with client.gateway(app_id, "witness", notices=True) as witness:
        await witness.wait_for_code(2000)
        start = (await client.send(app_id, "seen"))["cursor"]
        sent = await send_many(client, app_id, [f"missed {n}" for n in range(600)])
        await notices(client, app_id, 2)
        recalled = await recall(client, sent[::100])
        trimmed = await trim(redis, app_id)
        await send_many(client, app_id, ["still in the log"] * 300)
        await witness.wait_for_code(2001, 901)
        await witness.wait_for_code(2002, 6)
    found, cursor, has_more = list[Frame](), start, True
    while has_more:
        url, query = client.deployment.push_nodes[0].url, {"cursor": cursor, "limit": 90, "notices": 1}
        page = (await read_page(url, app_id, "pages", **query, access_token=token())).json()["data"]
        assert page["recovered"] is True
        found += page["events"]
        cursor, has_more = page["cursor"], page["hasMore"]
    expected = pushes(witness, start)
    assert [(push["code"], push["cursor"]) for push in found] == [
        (push["code"], push["cursor"]) for push in expected
    ]
    assert Cursor.parse(found[0]["cursor"]) < trimmed
    shown = {push["data"]["messageId"]: push["data"]["content"] for push in found if push["code"] == 2001}
    assert {shown[id_] for id_ in recalled} == {""}


def contents_of(frame: Frame) -> str | None:
    return frame["data"].get("content") if isinstance(frame["data"], dict) else None  # pyright: ignore


async def follow(client: Any, app_id: str, gateway_id: str, cursor: str, *, notices: bool) -> Gateway:
    """Resume, disconnect in the middle, resume again, and stay until the end of the live traffic."""
    async with client.gateway(app_id, gateway_id, cursor=cursor, notices=notices) as gateway:
        await gateway.wait_for_code(2001, 700)
    first = gateway.frames
    async with client.gateway(app_id, gateway_id, cursor=gateway.cursor, notices=notices) as gateway:
        await gateway.wait_for(lambda frame: contents_of(frame) == "live 149", timeout=30)
        assert gateway.frames[0]["recovered"]
        gateway.frames[:1] = first
        return gateway


async def test_a_lost_log_is_replayed_from_the_database_before_the_gap(
    client: Any, redis: Redis, app_id: str
):
    sent = await send_many(client, app_id, [str(n) for n in range(600)])
    await trim(redis, app_id)
    await redis.flushall()
    offered = sent[99]["cursor"]
    async with client.gateway(app_id, "early", cursor=offered) as early:
        (gap,) = await early.wait_for_code(4002)
        assert gap["data"]["from"] == offered
        new = await send_many(client, app_id, [str(n) for n in range(600, 610)])
        await early.wait_for_code(2001, 510)
        assert contents(early) == [str(n) for n in range(100, 610)]
        assert early.frames.index(gap) == 501
        assert early.frames[0]["recovered"] is False
    async with client.gateway(app_id, "late", cursor=offered) as late:
        await late.wait_for_code(2001, 510)
        assert contents(late) == contents(early)
        assert len(late.with_code(4002)) == 1
        assert [push["cursor"] for push in pushes(late)[-10:]] == [receipt["cursor"] for receipt in new]


async def test_a_gap_is_announced_while_query_api_is_down(client: Any, redis: Redis, app_id: str):
    sent = await send_many(client, app_id, [str(n) for n in range(20)])
    await trim(redis, app_id)
    (query_api,) = client.deployment.query_apis
    await query_api.terminate()
    async with client.gateway(app_id, "one", cursor=sent[4]["cursor"]) as gateway:
        (gap,) = await gateway.wait_for_code(4002, timeout=15)
        assert gap["data"] == {"from": sent[4]["cursor"], "to": sent[-1]["cursor"]}
        assert gateway.frames[0]["recovered"] is False
        await client.send(app_id, "live")
        await gateway.wait_for_code(2001)
        assert contents(gateway) == ["live"]
    await query_api.start()
    await query_api.ready()
    async with client.gateway(app_id, "one", cursor=sent[4]["cursor"]) as gateway:
        await gateway.wait_for_code(2001, 16)
        assert contents(gateway) == [*(str(n) for n in range(5, 20)), "live"]
        assert gateway.frames[0]["recovered"]


async def test_memory_of_a_node_stays_bounded_during_a_large_replay(
    client: Any, redis: Redis, app_id: str, own_database_url: str
):
    receipt = await client.send(app_id, "seen")
    start = Cursor.parse(receipt["cursor"])
    last = await client.send(app_id, "last")
    trimmed = await trim(redis, app_id)
    assert str(trimmed) == last["cursor"]
    first_id = int(last["messageId"])
    await run(own_database_url, MISS.format(app_id=app_id, first_id=first_id, at=start.entry, count=MISSED))
    (node,) = client.deployment.push_nodes
    before = resident_kib(node.pid)
    maximum = before
    async with client.gateway(app_id, "one", cursor=str(start)) as gateway:

        def has_all() -> bool:
            nonlocal maximum
            maximum = max(maximum, resident_kib(node.pid))
            return len(gateway.frames) >= MISSED + 2

        await wait_until(has_all, 60, 0.05, what=f"{MISSED} pushes")
        assert contents(gateway) == [*(f"missed {n}" for n in range(1, MISSED + 1)), "last"]
    assert maximum - before < 24 * 1024, f"from {before} to {maximum} KiB"


def resident_kib(pid: int) -> int:
    (line,) = [
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")
    ]
    return int(line.split()[1])


async def test_standalone_replays_from_its_own_database(http: httpx.AsyncClient, tmp_path: Path):
    async with standalone(tmp_path) as deployment:
        (process,) = deployment.push_nodes
        receipts = [
            (
                await http.post(
                    f"{process.url}/v1/commands/send-message", json={**BODY, "appId": "a", "content": n}
                )
            )
            for n in map(str, range(10))
        ]
        socket = (tmp_path / "log" / "socket").read_text()
        async with Redis.from_url(f"unix://{socket}") as redis:
            await trim(redis, "a")
        cursor = receipts[3].json()["data"]["cursor"]
        async with connect(process.url, "a", "one", cursor=cursor) as gateway:
            await gateway.wait_for_code(2001, 6)
            assert contents(gateway) == list("456789")
            assert gateway.frames[0]["recovered"]
