"""What nobody sends who means well: it ends no process, hangs none, and costs none a descriptor."""

import asyncio
import json
import os
import time
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imc_testkit.deployment import Deployment, standalone
from imc_testkit.gateway import connect
from imc_testkit.processes import Process
from imc_testkit.waiting import wait_until
from imc_testkit.wire_fuzz import INJECTIONS, WireFuzz, frame, handshake

SECONDS = float(os.environ.get("FUZZ_MINUTES", "0")) * 60 or 6.0
SEED = int(os.environ.get("FUZZ_SEED", "1"))
MANY = 40

pytestmark = pytest.mark.timeout(60 + 3 * SECONDS)


@pytest.fixture(scope="module")
async def victim(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Deployment]:
    """An installation of its own: others' tests are not to be disturbed."""
    limits = {
        "IMC_HEADER_SECONDS": "1",
        "IMC_BODY_SECONDS": "1",
        "IMC_FRAME_SECONDS": "1",
        "IMC_LOG_LEVEL": "info",
    }
    async with standalone(tmp_path_factory.mktemp("fuzz"), limits) as deployment:
        yield deployment


def descriptors(process: Process) -> int:
    return len(os.listdir(f"/proc/{process.pid}/fd"))


async def is_well(process: Process, http: httpx.AsyncClient, app_id: str) -> None:
    """It is ready, and a message goes all the way."""
    await process.ready()
    async with connect(process.url, app_id, "well") as gateway:
        await gateway.wait_for_code(2000)
        body = {"appId": app_id, "groupId": "g", "userId": "u", "content": "still here"}
        reply = await http.post(process.url + "/v1/commands/send-message", json=body)
        assert reply.status_code == 200
        message_id = reply.json()["data"]["messageId"]
        await gateway.wait_for(
            lambda frame: frame["code"] == 2001 and frame["data"]["messageId"] == message_id
        )


async def test_bytes_that_keep_to_no_rule(victim: Deployment, http: httpx.AsyncClient, app_id: str):
    process = victim.push_nodes[0]
    await is_well(process, http, app_id)
    before = descriptors(process)
    fuzz, end = WireFuzz(process.url, app_id, SEED), time.monotonic() + SECONDS
    while time.monotonic() < end:
        await fuzz.attack(MANY)
        assert process.exit_code is None
    await is_well(process, http, app_id)
    assert fuzz.smuggled > 0
    hidden = await http.get(
        process.url + "/chat/message/findByGroupId", params={"appId": app_id, "groupId": "smuggled"}
    )
    assert hidden.json()["data"]["total"] == 0, "a body was carried out as a request"
    await wait_until(lambda: descriptors(process) <= before + 3, 40, 0.1, what="descriptors to come back")
    for line in process.lines:
        if line.startswith("{"):
            assert json.loads(line)["level"] != "error", line


@pytest.mark.parametrize("after", [frame(b"", 8), frame(b"x", 3), frame(b"x", mask=None)])
async def test_a_binary_frame_and_an_end_in_one_read(victim: Deployment, app_id: str, after: bytes):
    host, _, port = victim.push_nodes[0].url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(handshake(host, f"/v1/gateways/{app_id}/g"))
    await reader.readuntil(b"2000")
    writer.write(frame(b"x", 2) + after)
    async with asyncio.timeout(10):
        await reader.read()
    writer.close()
    assert '"level": "error"' not in victim.push_nodes[0].log


async def test_a_flood_of_bad_frames_is_ended(victim: Deployment, app_id: str):
    async with connect(victim.push_nodes[0].url, app_id, "flood") as gateway:
        await gateway.wait_for_code(2000)
        for _ in range(14):
            await gateway.send_json([0] * 500)
        assert await gateway.wait_closed() == 1008
        assert len(gateway.with_code(4001)) <= 6000


PATHS = (
    "/v1/commands/send-message",
    "/v1/commands/send-messages",
    "/v1/commands/recall-message",
    "/v1/commands/publish-notice",
)
QUERIES = (
    "/v1/queries/messages",
    "/v1/queries/message",
    "/v1/queries/groups",
    "/v1/queries/notices",
    "/chat/message/findByGroupId",
    "/chat/message/findByUserId",
    "/chat/group/findGroupListByUserId",
    "/notice/information/findByGroupId",
    "/chat/message/findBeforeByMessageId",
)
_KEYS = st.sampled_from(
    (
        "appId",
        "groupId",
        "userId",
        "content",
        "type",
        "messageId",
        "informationId",
        "clientMessageId",
        "messages",
        "pageNum",
        "startTime",
    )
)
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=200),
    st.sampled_from(INJECTIONS),
)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=6),
    max_leaves=12,
)


async def test_bodies_and_queries_that_make_no_sense(victim: Deployment, http: httpx.AsyncClient):
    url = victim.command_apis[0].url
    drawn: list[tuple[str, Any]] = []

    # While it draws nothing else runs here: what others take from `random` meanwhile would be laid to it.
    @settings(
        max_examples=int(30 * SECONDS),
        database=None,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(st.sampled_from(PATHS + QUERIES), _JSON)
    def draw(path: str, value: Any) -> None:
        drawn.append((path, value))

    draw()
    for path, value in drawn:
        if path in PATHS:
            text = json.dumps(value)
            reply = await http.post(url + path, content=text, headers={"Content-Type": "application/json"})
        else:
            fields: dict[str, Any] = value if isinstance(value, dict) else {"appId": value}
            reply = await http.get(
                url + path,
                params={key: str(each).encode("utf-8", "replace").decode() for key, each in fields.items()},
            )
        assert reply.status_code < 500, (path, value, reply.text)
        assert set(reply.json()) == {"success", "code", "message", "data"}


@pytest.mark.parametrize("text", INJECTIONS, ids=range(len(INJECTIONS)))
async def test_what_would_be_a_command_elsewhere_is_a_text_here(client: Any, app_id: str, text: str):
    fitting = "".join(character for character in text if character.isprintable()).strip() or "x"
    async with client.gateway(app_id, "g") as gateway:
        await gateway.wait_for_code(2000)
        sent = await client.send(app_id, text, groupId=fitting, userId=fitting)
        [pushed] = await gateway.wait_for_code(2001)
        assert (pushed["data"]["content"], pushed["data"]["groupId"]) == (text, fitting)
    [stored] = await client.history(app_id, fitting, total=1)
    assert (stored["messageId"], stored["content"], stored["userId"]) == (sent["messageId"], text, fitting)
    other = await client.get(
        "/chat/message/findByUserId", appId=app_id, userId=f"{fitting} ' OR 1=1 -- x"[:127]
    )
    assert other["data"]["total"] == 0
    for process in client.deployment.processes:
        for line in process.lines:
            assert not line.startswith("{") or json.loads(line)["event"] != "forged"
            assert sent["messageId"] not in line
