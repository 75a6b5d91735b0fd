"""Bad input gets its status, its code and a message that names the field; nothing of it harms others."""

import json
from typing import Any

import httpx
import pytest
from imc_testkit.gateway import connect_at
from imc_testkit.tokens import bearer

SEND = "/v1/commands/send-message"
BATCH = "/v1/commands/send-messages"
RECALL = "/v1/commands/recall-message"
NOTICE = "/v1/commands/publish-notice"
DELETE = "/v1/commands/delete-notice"
GOOD = {"appId": "a", "groupId": "g", "userId": "u", "content": "c"}
ID = "123456789012345678"

BAD_BODIES: list[tuple[str, dict[str, Any], str]] = [
    *(
        (SEND, {**GOOD, "appId": bad}, "appId")
        for bad in ("", " a", "a ", "a\n", "\x00", "a" * 128, 7, None, [])
    ),
    *(
        (SEND, {**GOOD, "groupId": bad}, "groupId")
        for bad in ("", " g", "g ", "g\n", "\x00", "g" * 128, None, {})
    ),
    *((SEND, {**GOOD, "userId": bad}, "userId") for bad in ("", " u", "\x7f", "u" * 128)),
    *((SEND, {**GOOD, "content": bad}, "content") for bad in (None, 7, "é" * 32768, "x" * 65536)),
    *((SEND, {**GOOD, "type": bad}, "type") for bad in ("x", "", 2**31, -(2**31) - 1, True, 1.5, [])),
    *((SEND, {**GOOD, "clientMessageId": bad}, "clientMessageId") for bad in ("", "x" * 65, "é", "a\n", 7)),
    *((SEND, {k: v for k, v in GOOD.items() if k != left_out}, left_out) for left_out in GOOD),
    *((BATCH, {"messages": bad}, "messages") for bad in ([], None, {}, "x", [GOOD] * 501)),
    (BATCH, {}, "messages"),
    *(
        (RECALL, {"appId": "a", "messageId": bad}, "messageId")
        for bad in ("", "x", "0", "-1", str(2**63), 1.5, True, None)
    ),
    (RECALL, {"appId": "a"}, "messageId"),
    (RECALL, {"messageId": ID}, "appId"),
    (RECALL, {"appId": "a", "messageId": ID, "recallCause": "x" * 256}, "recallCause"),
    (RECALL, {"messageId": ID, "appId": " a"}, "appId"),
    (NOTICE, {**GOOD, "title": "x" * 256}, "title"),
    *(
        (NOTICE, {**GOOD, "jumpUrl": bad}, "jumpUrl")
        for bad in (
            "x" * 2049,
            "javascript:alert(1)",
            " JavaScript:x",
            "java\tscript:x",
            "data:text/html,x",
            7,
        )
    ),
    *((NOTICE, {**GOOD, "clientMessageId": bad}, "clientMessageId") for bad in ("", "x" * 65, "é", 7)),
    (DELETE, {"appId": "a", "informationId": "x"}, "informationId"),
    (DELETE, {"appId": "a"}, "informationId"),
    (DELETE, {"informationId": ID}, "appId"),
]

HISTORY = "/chat/message/findByGroupId"
MESSAGES = "/v1/queries/messages"
BAD_QUERIES: list[tuple[str, dict[str, str], str]] = [
    (MESSAGES, {"groupId": "g"}, "appId"),
    *((MESSAGES, {"appId": bad, "groupId": "g"}, "appId") for bad in ("", " a", "a" * 128, "a\x00")),
    (MESSAGES, {"appId": "a"}, "groupId or userId"),
    (MESSAGES, {"appId": "a", "groupId": "g", "before": "1", "after": "1"}, "before and after"),
    *(
        (MESSAGES, {"appId": "a", "groupId": "g", "limit": bad}, "limit")
        for bad in ("0", "501", "-1", "x", "1.5")
    ),
    *(
        (MESSAGES, {"appId": "a", "groupId": "g", name: bad}, name)
        for name in ("startTime", "endTime")
        for bad in ("-1", "x", "1e5", str(2**63))
    ),
    *((MESSAGES, {"appId": "a", "groupId": "g", name: "x"}, name) for name in ("before", "after")),
    (MESSAGES, {"appId": "a", "groupId": "g", "withTotal": "perhaps"}, "withTotal"),
    ("/v1/queries/message", {"appId": "a"}, "messageId"),
    ("/v1/queries/message", {"appId": "a", "messageId": "x"}, "messageId"),
    ("/v1/queries/groups", {"userId": "u"}, "appId"),
    ("/v1/queries/groups", {"appId": "a", "after": "0"}, "after"),
    ("/v1/queries/notices", {"groupId": "g"}, "appId"),
    (HISTORY, {"groupId": "g"}, "appId"),
    (HISTORY, {"appId": "a"}, "groupId"),
    *((HISTORY, {"appId": bad, "groupId": "g"}, "appId") for bad in ("", " a", "a" * 128, "a\x00")),
    *(
        (HISTORY, {"appId": "a", "groupId": "g", "pageNum": bad}, "pageNum")
        for bad in ("x", "1.5", str(2**31))
    ),
    *((HISTORY, {"appId": "a", "groupId": "g", "pageSize": bad}, "pageSize") for bad in ("10001", "-2", "x")),
    *((HISTORY, {"appId": "a", "groupId": "g", "startTime": bad}, "startTime") for bad in ("x", str(2**63))),
    (HISTORY, {"appId": "a", "groupId": "g", "endTime": "1e5"}, "endTime"),
    ("/v1/queries/notices", {"appId": "a", "groupId": "g", "deleted": "x"}, "deleted"),
    ("/chat/message/findByUserId", {"appId": "a"}, "userId"),
    ("/chat/message/findByGroupIdAndUserId", {"appId": "a", "groupId": "g"}, "userId"),
    ("/chat/message/findBeforeByMessageId", {"appId": "a", "groupId": "g"}, "messageId"),
    ("/chat/message/findAfterByMessageId", {"appId": "a", "groupId": "g"}, "messageId"),
    ("/chat/group/findGroupListByUserId", {"appId": "a"}, "userId"),
    ("/notice/information/findByGroupId", {"appId": "a"}, "groupId"),
    ("/notice/information/findByUserId", {"appId": "a", "userId": "u "}, "userId"),
    ("/notice/information/findByGroupIdAndUserId", {"appId": "a", "userId": "u"}, "groupId"),
]


def assert_refused(reply: httpx.Response, status: int, code: int) -> str:
    """The reply is a failure in the envelope; returns its message."""
    body = reply.json()
    assert (reply.status_code, body["code"], body["success"], body["data"]) == (status, code, False, None), (
        body
    )
    assert set(body) == {"success", "code", "message", "data"}
    return body["message"]


@pytest.mark.parametrize(("path", "body", "field"), BAD_BODIES)
async def test_a_bad_command_names_its_field(
    client: Any, http: httpx.AsyncClient, path: str, body: dict[str, Any], field: str
):
    reply = await http.post(client.deployment.command_apis[0].url + path, json=body)
    assert assert_refused(reply, 400, 40001).startswith(field + " ")


@pytest.mark.parametrize(("path", "parameters", "field"), BAD_QUERIES)
async def test_a_bad_query_names_its_field(
    client: Any, http: httpx.AsyncClient, path: str, parameters: dict[str, str], field: str
):
    reply = await http.get(client.deployment.query_apis[0].url + path, params=parameters)
    code = 40001 if path.startswith("/v1/") else -1
    assert assert_refused(reply, 400, code).startswith(field + " ")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b'"x"',
        b"null",
        b"\xff\xfe",
        b'{"appId": "\\ud800"}',
        b"[" * 100_000,
        b"{}" * 2,
        b"NaN",
    ],
)
async def test_what_is_no_json_object_is_refused(client: Any, http: httpx.AsyncClient, body: bytes):
    for path in (SEND, BATCH, RECALL, NOTICE):
        url = client.deployment.command_apis[0].url + path
        reply = await http.post(url, content=body, headers={"content-type": "application/json"})
        assert "body" in assert_refused(reply, 400, 40001)


async def test_paths_methods_and_media_types(client: Any, http: httpx.AsyncClient):
    command, query = client.deployment.command_apis[0].url, client.deployment.query_apis[0].url
    assert_refused(await http.post(command + "/v1/commands/nothing", json={}), 404, 40400)
    assert_refused(await http.get(query + "/v1/queries/nothing"), 404, 40400)
    assert_refused(await http.post(command + "/chat/message/nothing", json={}), 404, -1)
    assert_refused(await http.get(query + "/chat/message/nothing"), 404, -1)
    assert_refused(await http.get(command + SEND), 405, 40500)
    assert_refused(await http.get(command + "/chat/message/create"), 405, -1)
    assert_refused(await http.post(query + HISTORY), 405, -1)
    form = {"content-type": "application/x-www-form-urlencoded"}
    for path, code in ((SEND, 41500), (DELETE, 41500), ("/chat/message/create", -1)):
        assert_refused(await http.post(command + path, content=json.dumps(GOOD), headers=form), 415, code)
    reply = await http.get(client.deployment.push_nodes[0].url + "/v1/gateways/a/g")
    assert reply.status_code in (400, 426)
    assert reply.json()["success"] is False


async def test_a_body_over_the_limit(client: Any, http: httpx.AsyncClient):
    json_type = {"content-type": "application/json"}
    for path, limit in ((SEND, 1_048_576), (RECALL, 1_048_576), (NOTICE, 1_048_576), (BATCH, 4_194_304)):
        url = client.deployment.command_apis[0].url + path
        announced = await http.post(url, content=b"x" * (limit + 1), headers=json_type)
        assert f"{limit} bytes" in assert_refused(announced, 413, 41301)


async def test_what_is_not_there(client: Any, app_id: str):
    for path, body, code in (
        (RECALL, {"appId": app_id, "messageId": ID}, 40401),
        (RECALL, {"appId": app_id, "messageId": str(2**63 - 1)}, 40401),
        (DELETE, {"appId": app_id, "informationId": ID}, 40402),
    ):
        assert (await client.post(path, body))["code"] == code
    found = await client.get("/chat/message/findAfterByMessageId", appId=app_id, groupId="g", messageId=ID)
    assert found["code"] == -1
    found = await client.get("/chat/message/findAfterByMessageId", appId=app_id, groupId="g", messageId="x")
    assert found["code"] == -1
    for path, item, code in (("messages", ID, 40401), ("notices", ID, 40402)):
        found = await client.get(f"/v1/queries/{path}", appId=app_id, groupId="g", before=item)
        assert found["code"] == code
    assert (await client.get("/v1/queries/message", appId=app_id, messageId=ID))["code"] == 40401


async def test_bad_frames_leave_the_connection_and_others_alone(client: Any, app_id: str):
    message = {"groupId": "g", "userId": "u", "content": "c"}
    async with client.gateway(app_id, "bad") as bad, client.gateway(app_id, "good") as good:
        await bad.wait_for_code(2000)
        await good.wait_for_code(2000)
        frames = [
            ("{", None, "JSON"),
            ("7", None, ""),
            ("[]", None, ""),
            (json.dumps({**message, "appId": app_id + "x"}), None, "appId"),
            (
                json.dumps({**message, "groupId": " g", "clientMessageId": "c1"}),
                {"clientMessageId": "c1"},
                "groupId",
            ),
            (json.dumps([message] * 501), None, "500"),
            (json.dumps({**message, "content": "x" * 65536}), None, "content"),
        ]
        for number, (frame, data, word) in enumerate(frames, 1):
            await bad.send_text(frame)
            refused = (await bad.wait_for_code(4001, number))[-1]
            expected = {"error": 40001, "retryable": False, **(data or {})}
            assert (refused["success"], refused["data"]) == (False, expected)
            assert word in refused["message"]
        await bad.send_json([message, {**message, "userId": ""}, message])
        await good.wait_for_code(2001, 2)
        await bad.wait_for_code(4001, len(frames) + 1)
        assert bad.close_code is None
        assert good.close_code is None


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/v1/gateways/%20a/g", "appId"),
        ("/v1/gateways/a/%0A", "gatewayId"),
        ("/v1/gateways/a/%7F", "gatewayId"),
        ("/v1/gateways/a/" + "g" * 128, "gatewayId"),
        ("/v1/gateways/a/g?cursor=nonsense", "cursor"),
    ],
)
async def test_a_bad_connection_is_told_why(client: Any, path: str, word: str):
    async with connect_at(client.deployment.push_nodes[0].url + path, additional_headers=bearer()) as gateway:
        refused = (await gateway.wait_for_code(4000))[0]
        assert gateway.frames == [refused]
        assert (refused["success"], refused["data"]) == (False, {"error": 40001, "retryable": False})
        assert word in refused["message"]
        assert await gateway.wait_closed() == 1008


async def test_a_binary_frame_ends_its_own_connection(client: Any, app_id: str):
    async with client.gateway(app_id, "binary") as binary, client.gateway(app_id, "other") as other:
        await binary.wait_for_code(2000)
        await other.wait_for_code(2000)
        await binary.websocket.send(b"\x00")
        assert await binary.wait_closed() == 1003
        await client.send(app_id, "still here")
        await other.wait_for_code(2001)
