"""The Java door of push-node: gateways of the Java version connect, send and get their pushes as from it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import orjson
import pytest
from fastapi import Response
from imc_contracts.codes import CloseCode
from imc_contracts.events import message_sent
from imc_contracts.views import recalled
from imc_push_node.gateway.keepalive import PING
from imc_testkit.gateway import Gateway, connect, connect_at
from imc_testkit.policies import FileOfApps
from imc_testkit.tokens import SECRET, SERVICE_SECRET, bearer, token
from imc_testkit.waiting import wait_until
from imc_testkit.wire_fuzz import handshake
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import InvalidStatus

GREETING = '{"success":true,"code":2000,"message":"success","data":"connection successful"}'
FIELDS = {"success", "code", "message", "data"}
BODY = {"groupId": "g", "userId": "u", "content": "c"}
WITH_TOKENS = {"auth": "jwt", "jwt_secret": SECRET, "service_secret": SERVICE_SECRET}

IDS = ["10.0.0.1:8080", "gw@1", "网关", "gw 1", "g" * 127, "网" * 127, "a/b", "50%", "{x}", "a+b", "#?&"]


def path(app_id: str, gateway_id: str) -> str:
    return f"/chat/message/broadcast/{quote(app_id, safe='')}/{quote(gateway_id, safe='')}"


def java(node: Any, app_id: str, gateway_id: str = "gw", end: str = "", **options: Any) -> Any:
    return connect_at(node.url + path(app_id, gateway_id) + end, **options)


def raw(node: Any, app_id: str, gateway_id: str = "gw") -> AbstractAsyncContextManager[ClientConnection]:
    address = node.url.replace("http://", "ws://", 1) + path(app_id, gateway_id)
    return connect_websocket(address, proxy=None)


async def status(node: Any, app_id: str, gateway_id: str = "gw", **options: Any) -> int:
    """The status that a handshake is refused with."""
    with pytest.raises(InvalidStatus) as caught:
        async with java(node, app_id, gateway_id, **options):
            pass
    response = caught.value.response
    body = json.loads(response.body or b"")
    assert (body["success"], body["code"], body["data"]) == (False, -1, None)
    return response.status_code


@pytest.mark.parametrize("gateway_id", IDS)
async def test_any_gateway_id_connects(node: Any, app_log: Any, gateway_id: str) -> None:
    async with java(node, app_log.app_id, gateway_id) as gateway:
        await gateway.wait_for_code(2000)
        await app_log.send()
        await gateway.wait_for_code(2001)
        (member,) = node.app(app_log.app_id).delivery.gateways
        assert member.gateway_id == gateway_id


@pytest.mark.parametrize("segment", ["10.0.0.1:8080", "gw@1", "a+b", "gw_1.~-", "(a)!$'*"])
async def test_what_a_path_may_hold_needs_no_escape(node: Any, app_id: str, segment: str) -> None:
    async with connect_at(f"{node.url}/chat/message/broadcast/{app_id}/{segment}") as gateway:
        await gateway.wait_for_code(2000)
        (member,) = node.app(app_id).delivery.gateways
        assert member.gateway_id == segment


@pytest.mark.parametrize("suffix", [":b", "应用", " my app", "/x", "%2F", "{x}"])
async def test_any_app_id_connects(node: Any, app_id: str, suffix: str) -> None:
    async with java(node, app_id + suffix) as gateway:
        await gateway.wait_for_code(2000)
        assert node.app(app_id + suffix).delivery.gateways


async def test_the_path_may_end_in_a_slash(node: Any, app_id: str) -> None:
    async with java(node, app_id, end="/") as gateway:
        await gateway.wait_for_code(2000)
        (member,) = node.app(app_id).delivery.gateways
        assert member.gateway_id == "gw"
    assert await status(node, app_id, end="//") == 404


async def test_frames_are_exactly_those_of_the_java_version(node: Any, app_log: Any) -> None:
    message = app_log.message('"quoted" \\ 日本\n')
    async with raw(node, app_log.app_id) as websocket:
        assert await websocket.recv() == GREETING
        await app_log.append(message_sent(message))
        pushed = b'{"success":true,"code":2001,"message":"success","data":%b}' % orjson.dumps(message)
        assert await websocket.recv() == pushed.decode()
        await app_log.recall(message)
        taken_back = orjson.dumps(recalled(message, message["createTime"] + 1000, "cause"))
        pushed = b'{"success":true,"code":2002,"message":"success","data":%b}' % taken_back
        assert await websocket.recv() == pushed.decode()


@pytest.mark.parametrize("is_valid", [True, False])
async def test_neither_notices_nor_a_cursor_can_be_asked_for(node: Any, app_log: Any, is_valid: bool) -> None:
    [cursor] = await app_log.send()
    await app_log.send()
    offered = quote(str(cursor)) if is_valid else "nonsense"
    async with java(node, app_log.app_id, end=f"?notices=1&cursor={offered}") as gateway:
        await gateway.wait_for_code(2000)
        await app_log.notices()
        live = app_log.message()
        await app_log.append(message_sent(live))
        await gateway.wait_for(lambda frame: frame["data"] == live)
        assert [frame["code"] for frame in gateway.frames] == [2000, 2001]
        assert all(set(frame) == FIELDS for frame in gateway.frames)


async def test_connections_of_one_gateway_id_live_side_by_side(start_node: Any, app_log: Any) -> None:
    node, other = await start_node(), await start_node()
    app_id = app_log.app_id
    async with (
        java(node, app_id) as first,
        java(node, app_id) as second,
        java(other, app_id) as elsewhere,
        connect(node.url, app_id, "gw") as of_v1,
    ):
        gateways = (first, second, elsewhere, of_v1)
        for gateway in gateways:
            await gateway.wait_for_code(2000)
        async with java(node, app_id) as last:
            await last.wait_for_code(2000)
            await app_log.send(2)
            for gateway in (*gateways, last):
                await gateway.wait_for_code(2001, 2)
        async with connect(other.url, app_id, "gw") as newer:
            await newer.wait_for_code(2000)
            assert await of_v1.wait_closed() == 4409
        await app_log.send()
        for gateway in gateways[:3]:
            await gateway.wait_for_code(2001, 3)


@contextlib.asynccontextmanager
async def sending(start_node: Any, command_api: Any, app_id: str) -> AsyncGenerator[Gateway]:
    node = await start_node(command_api_url=command_api.url)
    async with java(node, app_id) as gateway:
        await gateway.wait_for_code(2000)
        yield gateway


@pytest.mark.parametrize(
    ("frame", "changed"),
    [
        ({}, {}),
        ({"userId": 7, "content": 4}, {"userId": "7", "content": "4"}),
        ({"content": True}, {"content": "true"}),
        ({"content": None}, {"content": ""}),
        ({"type": "1"}, {"type": 1}),
        ({"type": " 1 "}, {"type": 1}),
        ({"type": ""}, {}),
        ({"type": "null"}, {}),
        ({"type": 1.0}, {"type": 1}),
        ({"type": 1.7}, {"type": 1}),
        ({"clientMessageId": "mine"}, {}),
        ({"appId": None}, {}),
        ({"unknown": {"a": [1]}}, {}),
    ],
)
async def test_frames_are_read_as_jackson_reads_them(
    start_node: Any, command_api: Any, app_id: str, frame: dict[str, Any], changed: dict[str, Any]
) -> None:
    async with sending(start_node, command_api, app_id) as gateway:
        await gateway.send_json({"appId": app_id, **BODY, **frame})
        await wait_until(lambda: command_api.calls)
        ((sent,),) = command_api.calls
        assert sent == {"appId": app_id, **BODY, **changed}


async def test_a_good_send_is_never_answered(start_node: Any, command_api: Any, app_id: str) -> None:
    async with sending(start_node, command_api, app_id) as gateway:
        await gateway.send_json({**BODY, "clientMessageId": "mine"})
        await wait_until(lambda: command_api.calls)
        await gateway.send_text("this is answered")
        await gateway.wait_for_code(4001)
        assert [frame["code"] for frame in gateway.frames] == [2000, 4001]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "JSON"),
        ("7", "JSON object"),
        (json.dumps([BODY]), "JSON object"),
        ('{"token":"x"}', "groupId"),
        (json.dumps({**BODY, "appId": "other"}), "appId"),
        (json.dumps({**BODY, "groupId": " g"}), "groupId"),
        (json.dumps({**BODY, "content": "x" * 65_536}), "content"),
    ],
)
async def test_a_frame_that_is_not_accepted_is_answered_without_data(
    start_node: Any, command_api: Any, app_id: str, text: str, named: str
) -> None:
    async with sending(start_node, command_api, app_id) as gateway:
        await gateway.send_text(text)
        (refused,) = await gateway.wait_for_code(4001)
        assert set(refused) == FIELDS
        assert (refused["success"], refused["data"]) == (False, None)
        assert named in refused["message"]
        await gateway.send_json(BODY)
        await wait_until(lambda: command_api.calls, what="that the connection stays")


async def test_a_send_that_command_api_refuses_is_answered_without_data(
    start_node: Any, command_api: Any, app_id: str
) -> None:
    failure = {"success": False, "code": 42901, "message": "quota", "data": None}
    answer = {"success": True, "code": 0, "message": "success", "data": [failure]}
    command_api.answers = [lambda _messages: Response(orjson.dumps(answer))]
    async with sending(start_node, command_api, app_id) as gateway:
        await gateway.send_json({**BODY, "clientMessageId": "mine"})
        (refused,) = await gateway.wait_for_code(4001)
        assert refused == {"success": False, "code": 4001, "message": "quota", "data": None}


async def test_binary_frames_are_ignored(start_node: Any, command_api: Any, app_id: str) -> None:
    async with sending(start_node, command_api, app_id) as gateway:
        await gateway.websocket.send(b"bytes")
        await gateway.websocket.send([b"bytes", b"in", b"fragments" * 100])
        await gateway.websocket.send([json.dumps(BODY)[:10], json.dumps(BODY)[10:]])
        await wait_until(lambda: command_api.calls)
        assert [frame["code"] for frame in gateway.frames] == [2000]


async def test_too_many_binary_frames_end_it(start_node: Any, app_id: str) -> None:
    node = await start_node(max_idle_frames_per_minute=10)
    async with java(node, app_id) as gateway:
        await gateway.wait_for_code(2000)
        for _ in range(10):
            await gateway.websocket.send(b"x" * 1000)
        await gateway.send_text("this is answered")
        await gateway.wait_for_code(4001)
        await gateway.websocket.send(b"x" * 1000)
        assert await gateway.wait_closed() == 1008


async def test_pings_must_be_answered(start_node: Any, app_id: str) -> None:
    node = await start_node(ping_seconds=0.2)
    at = urlsplit(node.url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    with contextlib.closing(writer):
        writer.write(handshake(at.netloc, path(app_id, "silent")))
        async with asyncio.timeout(20):
            heard = await reader.readuntil(int(CloseCode.NO_PROGRESS).to_bytes(2, "big"))
    assert GREETING.encode() in heard
    assert PING in heard


async def test_a_ping_is_answered_and_a_close_code_echoed(node: Any, app_id: str) -> None:
    async with raw(node, app_id) as websocket:
        await websocket.recv()
        async with asyncio.timeout(10):
            await (await websocket.ping(b"payload"))
        await websocket.close(4321, "bye")
        assert websocket.protocol.close_rcvd is not None
        assert websocket.protocol.close_rcvd.code == 4321


@pytest.mark.parametrize(("app_id", "gateway_id"), [("a" * 128, "gw"), ("app", "g" * 128), ("app", " gw")])
async def test_an_id_out_of_bounds_is_told_without_data(node: Any, app_id: str, gateway_id: str) -> None:
    async with java(node, app_id, gateway_id) as gateway:
        (refused,) = await gateway.wait_for_code(4000)
        assert await gateway.wait_closed() == 1008
    assert gateway.frames == [refused]
    assert set(refused) == FIELDS
    assert (refused["success"], refused["data"]) == (False, None)
    assert "1 to 127 characters" in refused["message"]


async def test_a_node_that_restarts_says_so_without_data(start_node: Any, app_id: str) -> None:
    node = await start_node(drain_seconds=0)
    async with java(node, app_id) as before:
        await before.wait_for_code(2000)
        await node.push_node.drain.run()
        assert await before.wait_closed() == 1012
    async with java(node, app_id) as after:
        (refused,) = await after.wait_for_code(4000)
        assert (set(refused), refused["data"]) == (FIELDS, None)
        assert await after.wait_closed() == 1012
    assert after.frames == [refused]


async def test_an_escape_that_is_not_utf8_is_refused(node: Any, app_id: str) -> None:
    address = node.url.replace("http://", "ws://", 1)
    for segment in ("%FF", "%E7%BD", "%2", "%zz"):
        with pytest.raises(InvalidStatus) as caught:
            await connect_websocket(f"{address}/chat/message/broadcast/{app_id}/{segment}", proxy=None)
        assert caught.value.response.status_code == 400


async def test_the_gateway_quota_counts_each_connection(start_node: Any, app_id: str, tmp_path: Path) -> None:
    apps_file = FileOfApps(tmp_path / "apps.toml")
    apps_file.write("defaults.quotas.gateways = 2")
    node = await start_node(apps_file=apps_file.path)
    async with java(node, app_id) as first:
        await first.wait_for_code(2000)
        async with java(node, app_id) as second:
            await second.wait_for_code(2000)
            assert await status(node, app_id) == 429
        assert await first.websocket.ping()

        async def has_room() -> bool:
            with contextlib.suppress(InvalidStatus):
                async with java(node, app_id) as third:
                    await third.wait_for_code(2000)
                    return True
            return False

        await wait_until(has_room, what="the place of one that has left")


async def test_tokens_hold(start_node: Any, app_id: str) -> None:
    node = await start_node(**WITH_TOKENS)
    assert await status(node, app_id) == 401
    assert await status(node, app_id, additional_headers=bearer("other")) == 403
    assert await status(node, app_id, additional_headers=bearer(app_id, "send")) == 403
    async with java(node, app_id, end=f"?access_token={token(app_id, 'gateway')}") as listener:
        await listener.wait_for_code(2000)
        await listener.send_json(BODY)
        (refused,) = await listener.wait_for_code(4001)
        assert (refused["data"], "send" in refused["message"]) == (None, True)
    async with java(node, app_id, additional_headers=bearer(app_id, lifetime=2)) as brief:
        await brief.wait_for_code(2000)
        assert await brief.wait_closed() == 4401


ORIGINS = ["http://elsewhere.test", "null", "elsewhere.test:9", "file://", "chrome-extension://abc"]


@pytest.mark.parametrize("door", ["java", "v1"])
@pytest.mark.parametrize("origin", ORIGINS)
async def test_with_tokens_any_origin_connects(start_node: Any, app_id: str, door: str, origin: str) -> None:
    node = await start_node(**WITH_TOKENS)
    headers = {**bearer(app_id), "Origin": origin}
    at = path(app_id, "gw") if door == "java" else f"/v1/gateways/{app_id}/gw"
    async with connect_at(node.url + at, additional_headers=headers) as gateway:
        await gateway.wait_for_code(2000)


async def test_without_tokens_a_foreign_page_is_kept_out(node: Any, app_id: str) -> None:
    """Its user did not ask it to connect. The node's own host is known with and without a scheme."""
    host = node.url.removeprefix("http://")
    for own in (f"http://{host}", host):
        async with java(node, app_id, additional_headers={"Origin": own}) as gateway:
            await gateway.wait_for_code(2000)
    assert await status(node, app_id, additional_headers={"Origin": "http://elsewhere.test"}) == 403


async def test_an_operator_lists_origins(start_node: Any, app_id: str) -> None:
    node = await start_node(allowed_origins="http://page.test,null", **WITH_TOKENS)
    for origin, is_listed in (("http://page.test", True), ("null", True), ("http://elsewhere.test", False)):
        headers = {**bearer(app_id), "Origin": origin}
        if not is_listed:
            assert await status(node, app_id, additional_headers=headers) == 403
            continue
        async with java(node, app_id, additional_headers=headers) as gateway:
            await gateway.wait_for_code(2000)


async def test_a_request_that_asks_for_no_upgrade_is_refused_in_the_envelope(node: Any) -> None:
    async with httpx.AsyncClient(base_url=node.url, trust_env=False) as http:
        for reply, expected in (
            (await http.get("/chat/message/broadcast/app/gw"), 400),
            (await http.get("/chat/message/broadcast/app/gw/"), 400),
            (await http.post("/chat/message/broadcast/app/gw"), 405),
            (await http.get("/chat/message/broadcast/app"), 404),
        ):
            body = reply.json()
            assert (reply.status_code, body["success"], body["code"], body["data"]) == (
                expected,
                False,
                -1,
                None,
            )
