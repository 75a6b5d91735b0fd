"""Quotas over the whole of an installation: what senders and gateways are told, what others notice of it."""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from imc_testkit.deployment import Deployment, Start, separate
from imc_testkit.gateway import connect, connect_at
from imc_testkit.policies import FileOfApps, quotas_text
from imc_testkit.waiting import wait_until
from websockets.exceptions import InvalidStatus

SEND, BATCH = "/v1/commands/send-message", "/v1/commands/send-messages"
NEVER = 0.000001
"""Sends a second: too few for one to be gained while a test runs."""


def body(app_id: str, **fields: Any) -> dict[str, Any]:
    return {"appId": app_id, "groupId": "g", "userId": "u", "content": "c", **fields}


class Installation:
    """Two command-apis and two push-nodes with one file of apps."""

    def __init__(self, deployment: Deployment, file: FileOfApps, http: httpx.AsyncClient) -> None:
        self.senders = [process.url for process in deployment.command_apis]
        self.nodes = [node.url for node in deployment.push_nodes]
        self._file = file
        self._http = http
        self._apps: dict[str, dict[str, Any]] = {}
        self._marks = itertools.count()

    async def limit(self, app_id: str, **quota: Any) -> None:
        """Give an app a quota, and wait until every process keeps it."""
        mark = f"mark-{next(self._marks)}"
        self._apps |= {app_id: quota, mark: {"sends_per_second": 0, "gateways": 0}}
        self._file.write(quotas_text(self._apps))

        async def is_kept() -> bool:
            sent = [await self.post(SEND, body(mark), url) for url in self.senders]
            met = [await self.answer_to_a_handshake(mark, "g", url) for url in self.nodes]
            return {reply.status_code for reply in (*sent, *met)} == {429}

        await wait_until(is_kept, interval=0.05)

    async def appends(self) -> float:
        """How often Redis was asked to append so far."""
        metrics = [(await self._http.get(url + "/metrics")).text for url in self.senders]
        lines = [line for text in metrics for line in text.splitlines()]
        return sum(
            float(line.split()[1]) for line in lines if line.startswith("imc_log_append_seconds_count")
        )

    async def post(self, path: str, content: Any, url: str | None = None) -> httpx.Response:
        return await self._http.post((url or self.senders[0]) + path, json=content)

    async def answer_to_a_handshake(self, app_id: str, gateway_id: str, url: str) -> httpx.Response:
        """What a WebSocket handshake is answered; one that is let in is closed at once."""
        try:
            async with connect(url, app_id, gateway_id):
                return httpx.Response(101)
        except InvalidStatus as refused:
            answer = refused.response
            return httpx.Response(
                answer.status_code, headers=dict(answer.headers), content=bytes(answer.body or b"")
            )


@pytest.fixture(scope="module")
async def installation(
    redis_url: str, database_url: str, tmp_path_factory: pytest.TempPathFactory, http: httpx.AsyncClient
) -> AsyncGenerator[Installation]:
    file = FileOfApps(tmp_path_factory.mktemp("apps") / "apps.toml")
    env = {"IMC_APPS_FILE": str(file.path)}
    async with separate(redis_url, database_url, env, projectors=[Start()]) as deployment:
        yield Installation(deployment, file, http)


async def test_a_sender_over_its_quota_is_told_when_to_come_again(installation: Installation, app_id: str):
    await installation.limit(app_id, sends_per_second=NEVER, send_burst=2)
    replies = [await installation.post(SEND, body(app_id), url) for url in installation.senders * 2]
    assert [reply.status_code for reply in replies] == [200, 200, 429, 429]
    assert int(replies[-1].headers["Retry-After"]) == 1_000_000
    refused = replies[-1].json()
    assert (refused["success"], refused["code"], refused["data"]) == (False, 42901, None)
    assert "quota" in refused["message"]

    async def may_send_again() -> bool:
        return (await installation.post(SEND, body(app_id))).status_code == 200

    await installation.limit(app_id, sends_per_second=0.5, send_burst=1)
    await wait_until(may_send_again)


async def test_in_a_batch_each_item_has_its_own_answer(installation: Installation, app_id: str):
    await installation.limit(app_id, sends_per_second=NEVER, send_burst=2)
    other = f"{app_id}-other"
    items = [body(app_id), body(other), body(app_id), body(app_id), body(other)]
    reply = await installation.post(BATCH, {"messages": items})
    assert [answer.get("code", 0) for answer in reply.json()["data"]] == [0, 0, 0, 42901, 0]
    assert int(reply.headers["Retry-After"]) == 1_000_000


async def test_a_batch_names_the_longest_pause_of_its_items(installation: Installation, app_id: str):
    patient = f"{app_id}-patient"
    await installation.limit(app_id, sends_per_second=1 / 60, send_burst=1)
    await installation.limit(patient, sends_per_second=NEVER, send_burst=1)
    reply = await installation.post(BATCH, {"messages": [body(app_id), body(app_id)]})
    assert 0 < int(reply.headers["Retry-After"]) <= 60
    items = [body(patient), body(patient), body(app_id)]
    reply = await installation.post(BATCH, {"messages": items})
    assert [answer.get("code", 0) for answer in reply.json()["data"]] == [0, 42901, 42901]
    assert int(reply.headers["Retry-After"]) == 1_000_000


async def test_a_batch_without_a_refusal_for_a_time_has_no_such_header(
    installation: Installation, app_id: str
):
    reply = await installation.post(BATCH, {"messages": [body(app_id), {}]})
    assert [answer.get("code", 0) for answer in reply.json()["data"]] == [0, 40001]
    assert "Retry-After" not in reply.headers


async def test_a_gateway_is_told_which_send_was_too_many(installation: Installation, app_id: str):
    await installation.limit(app_id, sends_per_second=NEVER, send_burst=1)
    async with connect(installation.nodes[0], app_id, "g") as gateway:
        await gateway.wait_for_code(2000)
        await gateway.send_json([body(app_id, clientMessageId=own_id) for own_id in ("first", "second")])
        [refused] = await gateway.wait_for_code(4001)
        assert refused["data"] == {
            "error": 42901,
            "retryable": True,
            "retryAfter": 1_000_000_000,
            "clientMessageId": "second",
            "index": 1,
        }
        assert "quota" in refused["message"]
        assert (await gateway.wait_for_code(2003))[0]["data"]["clientMessageId"] == "first"


async def test_the_java_door_keeps_to_quotas_too(installation: Installation, app_id: str):
    await installation.limit(app_id, sends_per_second=NEVER, send_burst=2)
    create, address = "/chat/message/create", f"/chat/message/broadcast/{app_id}/g"
    async with connect_at(installation.nodes[0] + address) as gateway:
        await gateway.wait_for_code(2000)
        assert (await installation.post(create, body(app_id))).status_code == 200
        await gateway.send_json(body(app_id))
        await gateway.wait_for_code(2001, 2)
        await gateway.send_json(body(app_id))
        [refused] = await gateway.wait_for_code(4001)
        assert refused == {"success": False, "code": 4001, "message": refused["message"], "data": None}
        assert "quota" in refused["message"]
    reply = await installation.post(create, body(app_id))
    told = reply.json()
    assert (reply.status_code, reply.headers["Retry-After"]) == (429, "1000000")
    assert told == {"success": False, "code": -1, "message": told["message"], "data": None}


async def test_gateways_are_counted_over_all_nodes(installation: Installation, app_id: str):
    await installation.limit(app_id, gateways=2)
    one, two = installation.nodes
    async with connect(one, app_id, "a") as a:
        await a.wait_for_code(2000)
        async with connect(two, app_id, "b") as b:
            await b.wait_for_code(2000)
            for node in installation.nodes:
                refused = await installation.answer_to_a_handshake(app_id, "c", node)
                assert (refused.status_code, refused.json()["code"]) == (429, 42901)
                assert int(refused.headers["Retry-After"]) >= 1
            async with connect(two, app_id, "a") as again:
                await again.wait_for_code(2000)
                assert await a.wait_closed() == 4409
                refused = await installation.answer_to_a_handshake(app_id, "c", one)
                assert refused.status_code == 429
            other = await installation.answer_to_a_handshake(f"{app_id}-other", "c", one)
            assert other.status_code == 101

    async def has_room() -> bool:
        return (await installation.answer_to_a_handshake(app_id, "c", one)).status_code == 101

    await wait_until(has_room, interval=0.05)


async def test_an_app_at_ten_times_its_quota_gets_its_quota_and_others_notice_nothing(
    installation: Installation, app_id: str
):
    rate, quiet, wanted = 100, f"{app_id}-quiet", 300
    await installation.limit(app_id, sends_per_second=rate, send_burst=rate)
    is_over = asyncio.Event()
    lists = 0

    async def asked_quietly() -> int:
        count = 0
        while not is_over.is_set():
            assert (await installation.post(SEND, body(quiet))).status_code == 200
            count += 1
            await asyncio.sleep(0.01)
        return count

    async def flood(url: str) -> int:
        nonlocal lists
        reply = await installation.post(BATCH, {"messages": [body(app_id)] * 50}, url)
        lists += 1
        answers = reply.json()["data"]
        assert {answer.get("code", 0) for answer in answers} <= {0, 42901}
        return sum("messageId" in answer for answer in answers)

    begun, scripts, accepted = time.perf_counter(), await installation.appends(), 0
    asking = asyncio.create_task(asked_quietly())
    # At least so long that the bucket has filled twice: what is allowed is to be had.
    while accepted < wanted:
        # Ten times the quota, from both processes: each list is sent as a tenth of a second has passed.
        accepted += sum(await asyncio.gather(*map(flood, installation.senders)))
        await asyncio.sleep(0.05)
    elapsed = time.perf_counter() - begun
    is_over.set()
    asked = await asking
    assert accepted <= rate * (elapsed + 1)
    assert asked > 0
    # Of all that is refused, nothing costs Redis more than a look at its list; most of it not even that.
    assert await installation.appends() - scripts <= lists + asked
