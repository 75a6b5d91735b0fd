"""Commands of the Java version's clients: every reply field by field, every value type by type."""

import asyncio
import codecs
import contextlib
import json
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from imc_testkit.calls import JAVA_QUERIES
from imc_testkit.tokens import bearer

CREATE, RECALL = "/chat/message/create", "/chat/message/recall"
PUBLISH, DELETE = "/notice/information/create", "/notice/information/delete"
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
CHINESE = '{"appId": "%s", "groupId": "群组", "userId": "用户", "content": "你好"}'


def assert_succeeded(reply: httpx.Response) -> str:
    """The reply is what a ``ResultDTO<String>`` takes, with an id; returns the id."""
    body = reply.json()
    assert body == {"success": True, "code": 0, "message": "success", "data": body["data"]}
    assert reply.status_code == 200
    assert type(body["success"]) is bool
    assert type(body["code"]) is int
    assert type(body["data"]) is str
    assert body["data"].isdecimal()
    return body["data"]


def assert_refused(reply: httpx.Response, status: int) -> str:
    """The reply is a ``ResultDTO`` with ``Code.ERROR``; returns its message."""
    body = reply.json()
    assert body == {"success": False, "code": -1, "message": body["message"], "data": None}
    assert (reply.status_code, type(body["success"]), type(body["code"])) == (status, bool, int)
    return body["message"]


async def post(
    client: Any, http: httpx.AsyncClient, path: str, content: Any, content_type: str = JSON
) -> httpx.Response:
    """Post bytes, or a value as JSON."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    url = client.deployment.command_apis[0].url + path
    return await http.post(url, content=body, headers={"content-type": content_type})


async def pushed_after(client: Any, http: httpx.AsyncClient, app_id: str, send: Any) -> dict[str, Any]:
    """What a gateway is pushed of the message that ``send`` makes; the reply must bear its id."""
    async with client.gateway(app_id, "g") as gateway:
        await gateway.wait_for_code(2000)
        message_id = assert_succeeded(await send)
        push = (await gateway.wait_for_code(2001))[0]["data"]
    assert push["messageId"] == message_id
    return push


FIELDS: list[tuple[str, dict[str, Any]]] = [
    ('"groupId": "g", "userId": "u", "content": "c", "type": 1', {}),
    ('"groupId": "g", "userId": 7, "content": "c", "type": 1', {"userId": "7"}),
    ('"groupId": 1.50, "userId": "u", "content": "c", "type": 1', {"groupId": "1.50"}),
    ('"groupId": "g", "userId": "u", "content": 4, "type": 1', {"content": "4"}),
    ('"groupId": "g", "userId": "u", "content": true, "type": 1', {"content": "true"}),
    ('"groupId": "g", "userId": "u", "content": null, "type": 1', {"content": ""}),
    ('"groupId": "g", "userId": "u", "type": 1', {"content": ""}),
    ('"groupId": "g", "userId": "u", "content": "c", "type": "1"', {}),
    ('"groupId": "g", "userId": "u", "content": "c", "type": " 1 "', {}),
    ('"groupId": "g", "userId": "u", "content": "c", "type": 1.0', {}),
    ('"groupId": "g", "userId": "u", "content": "c", "type": 1.7', {}),
    ('"groupId": "g", "userId": "u", "content": "c", "type": ""', {"type": None}),
    ('"groupId": "g", "userId": "u", "content": "c", "type": "null"', {"type": None}),
    ('"groupId": "g", "userId": "u", "content": "c"', {"type": None}),
    ('"groupId": "g", "userId": "u", "content": "c", "type": 1, "more": {"a": [1]}', {}),
    ('"groupId": "g", "userId": "u", "content": "c", "type": 1, "clientMessageId": ""', {}),
]


@pytest.mark.parametrize(("fields", "changed"), FIELDS)
async def test_a_message_is_read_as_jackson_reads_it(
    client: Any, http: httpx.AsyncClient, app_id: str, fields: str, changed: dict[str, Any]
):
    body = f'{{"appId": "{app_id}", {fields}}}'.encode()
    push = await pushed_after(client, http, app_id, post(client, http, CREATE, body))
    expected = {"groupId": "g", "userId": "u", "content": "c", "type": 1, **changed}
    assert {name: push[name] for name in expected} == expected
    assert {name: type(push[name]) for name in expected} == {name: type(expected[name]) for name in expected}
    assert type(push["createTime"]) is int
    assert set(push) == {
        *("messageId", "appId", "groupId", "userId", "content", "createTime", "recallTime"),
        *("recallCause", "status", "type"),
    }


@pytest.mark.parametrize(
    ("encoding", "content_type"),
    [
        ("utf-8", JSON),
        ("utf-8", "application/json;charset=UTF-8"),
        ("utf-8", "application/vnd.imc+json"),
        ("utf-8-sig", JSON),
        ("utf-16", JSON),
        ("utf-16", "application/json; charset=UTF-16"),
        ("utf-16-le", 'application/json; charset="utf-16le"'),
        ("gbk", "application/json;charset=GBK"),
        ("gbk", "Application/JSON; Charset=gbk; x=y"),
        ("gb18030", "application/json; charset=GB18030"),
    ],
)
async def test_a_body_is_read_in_its_charset(
    client: Any, http: httpx.AsyncClient, app_id: str, encoding: str, content_type: str
):
    body = (CHINESE % app_id).encode(encoding)
    push = await pushed_after(client, http, app_id, post(client, http, CREATE, body, content_type))
    assert (push["groupId"], push["userId"], push["content"]) == ("群组", "用户", "你好")


@pytest.mark.parametrize("after", [b"\n", b"{}", b" and more", codecs.BOM_UTF8])
async def test_text_after_the_json_is_ignored(
    client: Any, http: httpx.AsyncClient, app_id: str, after: bytes
):
    body = (CHINESE % app_id).encode() + after
    assert_succeeded(await post(client, http, CREATE, body))


@pytest.mark.parametrize("content", [{}, {"content": None}], ids=["absent", "null"])
async def test_a_message_without_content_is_stored(
    client: Any, http: httpx.AsyncClient, app_id: str, content: dict[str, Any]
):
    body = {"appId": app_id, "groupId": "g", "userId": "u", **content}
    message_id = assert_succeeded(await post(client, http, CREATE, body))
    [stored] = await client.history(app_id, total=1)
    assert (stored["messageId"], stored["content"], stored["type"]) == (message_id, "", None)


@pytest.mark.parametrize("name", ["a:b", "应用", "my app", "a%b", "{x}", "a/b"])
async def test_any_app_id_is_taken(client: Any, http: httpx.AsyncClient, app_id: str, name: str):
    body = {"appId": f"{name} {app_id}", "groupId": "g", "userId": "u", "content": "c"}
    message_id = assert_succeeded(await post(client, http, CREATE, body))
    assert assert_succeeded(await post(client, http, RECALL, {"messageId": message_id})) == message_id


async def test_a_path_may_end_in_a_slash(client: Any, http: httpx.AsyncClient, app_id: str):
    body = {"appId": app_id, "groupId": "g", "userId": "u", "content": "c"}
    for create, end, field in ((CREATE, RECALL, "messageId"), (PUBLISH, DELETE, "informationId")):
        id_ = assert_succeeded(await post(client, http, create + "/", body))
        assert assert_succeeded(await post(client, http, end + "/", {field: id_})) == id_
        for path in (create, end):
            assert_refused(await post(client, http, path + "//", body), 404)


async def test_a_message_is_recalled(client: Any, http: httpx.AsyncClient, app_id: str):
    async with client.gateway(app_id, "g") as gateway:
        await gateway.wait_for_code(2000)
        body = {"appId": app_id, "groupId": "g", "userId": "u", "content": "oops"}
        for recall, cause in (({"recallCause": "typo"}, "typo"), ({"recallCause": 4}, "4"), ({}, None)):
            message_id = assert_succeeded(await post(client, http, CREATE, body))
            # Some clients have ids as numbers.
            for given in (message_id, int(message_id)):
                reply = await post(client, http, RECALL, {"messageId": given, **recall})
                if given == message_id:
                    assert assert_succeeded(reply) == message_id
                else:
                    assert assert_refused(reply, 200) == "the message is recalled already"
            push = (await gateway.wait_for(lambda frame, i=message_id: is_recall_of(frame, i)))["data"]
            assert (push["content"], push["status"], push["recallCause"]) == ("", 0, cause)


async def test_a_recall_blanks_the_content_in_every_query_at_once(
    client: Any, http: httpx.AsyncClient, app_id: str
):
    body = {"appId": app_id, "groupId": "g", "userId": "u", "content": "oops"}
    first, second, third = [assert_succeeded(await post(client, http, CREATE, body)) for _ in range(3)]
    for message_id in (first, second, third):
        assert_succeeded(await post(client, http, RECALL, {"messageId": message_id}))
    url, asked = client.deployment.query_apis[0].url, {**body, "messageId": second}
    shown = {"before": [first], "after": [third], "groups": [third]}
    for call in JAVA_QUERIES:
        if call.path.startswith("/chat/"):
            reply = await http.get(url + call.path, params={name: asked[name] for name in call.values})
            data = reply.json()["data"]
            messages = data["pageMessageList"] if isinstance(data, dict) else data
            messages = [each.get("newMessage", each) for each in messages]
            expected = shown.get(call.name, [first, second, third])
            assert [each["messageId"] for each in messages] == expected, call.path
            assert {(each["content"], each["status"]) for each in messages} == {("", 0)}, call.path


def is_recall_of(frame: dict[str, Any], message_id: str) -> bool:
    return frame["code"] == 2002 and frame["data"]["messageId"] == message_id


@pytest.mark.parametrize("id_", ["1", "123456789012345678", str(2**63), "x", "", "-1", 0, 1.5, True])
async def test_what_is_not_there_is_refused_with_status_200(client: Any, http: httpx.AsyncClient, id_: Any):
    assert assert_refused(await post(client, http, RECALL, {"messageId": id_}), 200)
    assert assert_refused(await post(client, http, DELETE, {"informationId": id_}), 200)


async def test_a_notice_is_published_and_deleted_once(client: Any, http: httpx.AsyncClient, app_id: str):
    url = client.deployment.command_apis[0].url + DELETE
    body = {"appId": app_id, "groupId": "g", "userId": 7, "title": 1, "content": None, "type": "2"}
    async with client.gateway(app_id, "g", notices=True) as gateway:
        await gateway.wait_for_code(2000)
        ids = [assert_succeeded(await post(client, http, PUBLISH, body)) for _ in range(6)]
        notice = (await gateway.wait_for_code(2004))[0]["data"]
        expected = {"informationId": ids[0], "userId": "7", "title": "1", "content": "", "type": 2}
        assert {name: notice[name] for name in expected} == expected
        replies = [
            await post(client, http, DELETE, {"informationId": int(ids[0])}),
            await http.post(url, data={"informationId": ids[1]}),
            await http.post(url, params={"informationId": ids[2]}),
            await http.post(url + "/", params={"informationId": ids[3]}),
            # As RestTemplate names a form, and as others name a body that they leave empty.
            await post(client, http, DELETE, f"informationId={ids[4]}".encode(), f"{FORM};charset=UTF-8"),
            await post(client, http, f"{DELETE}?informationId={ids[5]}", b"", JSON),
        ]
        assert [assert_succeeded(reply) for reply in replies] == ids
        deleted = [frame["data"]["informationId"] for frame in await gateway.wait_for_code(2005, 6)]
        assert deleted == ids
    again = await http.post(url, data={"informationId": ids[1]})
    assert assert_refused(again, 200) == "the notice is deleted already"


BAD: list[tuple[str, Any, str]] = [
    *((CREATE, bad, "body") for bad in (b"", b"{", b"[]", b"7", b"null", b"\xff", b"{'a': 1}", b"[" * 9999)),
    *((CREATE, {"groupId": "g", "userId": "u", "appId": bad}, "appId") for bad in (None, "", " a", [], {})),
    *((CREATE, {"groupId": bad, "userId": "u", "appId": "a"}, "groupId") for bad in (None, "g" * 128, "g ")),
    (CREATE, {"groupId": "g", "userId": "u", "appId": "a", "content": "x" * 65536}, "content"),
    (CREATE, {"groupId": "g", "userId": "u", "appId": "a", "content": ["c"]}, "content"),
    *(
        (CREATE, {"groupId": "g", "userId": "u", "appId": "a", "type": bad}, "type")
        for bad in (True, "x", 2**31, 1e300, "1.0", [1])
    ),
    (PUBLISH, {"groupId": "g", "userId": "u", "appId": "a", "title": "x" * 256}, "title"),
    (PUBLISH, {"groupId": "g", "userId": "u", "appId": "a", "jumpUrl": "javascript:x"}, "jumpUrl"),
    *((RECALL, bad, "messageId") for bad in ({}, {"messageId": None}, {"messageId": []})),
    (RECALL, {"messageId": "1", "recallCause": "x" * 256}, "recallCause"),
    *((DELETE, bad, "informationId") for bad in ({}, {"informationId": {}})),
]


@pytest.mark.parametrize(("path", "body", "word"), BAD)
async def test_a_malformed_request_names_its_field(
    client: Any, http: httpx.AsyncClient, path: str, body: Any, word: str
):
    assert assert_refused(await post(client, http, path, body), 400).startswith(f"{word} ")


async def test_media_types_that_are_not_read(client: Any, http: httpx.AsyncClient):
    good = {"appId": "a", "groupId": "g", "userId": "u", "content": "c"}
    for path in (CREATE, RECALL, PUBLISH):
        for content_type in (FORM, "text/plain", "multipart/form-data; boundary=x"):
            assert_refused(await post(client, http, path, good, content_type), 415)
    assert "charset" in assert_refused(
        await post(client, http, CREATE, good, f"{JSON}; charset=no-such"), 415
    )


async def test_a_body_over_the_limit(client: Any, http: httpx.AsyncClient):
    for path in (CREATE, RECALL, PUBLISH, DELETE):
        assert "1048576 bytes" in assert_refused(await post(client, http, path, b" " * 1_048_577), 413)


async def test_tokens_hold(separate_processes: Any, app_id: str):
    url = separate_processes.command_apis[0].url
    message = {"appId": app_id, "groupId": "g", "userId": "u", "content": "c"}
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:

        async def call(path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
            return await http.post(url + path, json=body, headers=headers)

        for path in (CREATE, RECALL, PUBLISH, DELETE):
            assert_refused(await call(path, message, {}), 401)
            assert_refused(await call(path, message, bearer(app_id, "read")), 403)
        for path in (CREATE, PUBLISH):
            assert_refused(await call(path, message, bearer("other")), 403)
        message_id = assert_succeeded(await call(CREATE, message, bearer(app_id)))
        notice_id = assert_succeeded(await call(PUBLISH, message, bearer(app_id)))
        # The app is not named: what belongs to an app that the token does not cover is as good as absent.
        assert_refused(await call(RECALL, {"messageId": message_id}, bearer("other")), 200)
        assert_refused(await call(DELETE, {"informationId": notice_id}, bearer("other")), 200)
        both = bearer([app_id, "other"])
        assert assert_succeeded(await call(RECALL, {"messageId": message_id}, both)) == message_id
        assert assert_succeeded(await call(DELETE, {"informationId": notice_id}, both)) == notice_id


@pytest.mark.parametrize("path", [CREATE, PUBLISH])
@pytest.mark.parametrize("form", ["HTTP/1.0", "Transfer-Encoding: chunked", "Expect: 100-continue"])
async def test_a_body_comes_in_any_form_of_http_1(client: Any, app_id: str, form: str, path: str):
    message = {"appId": app_id, "groupId": "g", "userId": "u", "content": "c"}
    body, size = json.dumps(message).encode(), f"Content-Length: {len(json.dumps(message))}"
    if "chunked" in form:
        size, body = form, b"4\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (body[:4], len(body) - 4, body[4:])
    version = form if form.startswith("HTTP") else "HTTP/1.1"
    lines = [
        *(f"POST {path} {version}", "Host: h", "Connection: close", f"Content-Type: {JSON}", size),
        *(f"{name}: {value}" for name, value in bearer(app_id).items()),
        *([form] if form.startswith("Expect") else []),
    ]
    at = urlsplit(client.deployment.command_apis[0].url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    with contextlib.closing(writer):
        async with asyncio.timeout(20):
            writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
            if form.startswith("Expect"):
                # It is waited for: some clients send no body without it.
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
            writer.write(body)
            head, _, reply = (await reader.read()).partition(b"\r\n\r\n")
    assert_succeeded(httpx.Response(int(head.split()[1]), content=reply))


UPGRADE = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQ"}


async def test_an_offer_of_http_2_is_not_taken_up(client: Any, http: httpx.AsyncClient, app_id: str):
    body = {"appId": app_id, "groupId": "g", "userId": "u", "content": "c"}
    for path in (CREATE, PUBLISH):
        url = client.deployment.command_apis[0].url + path
        assert_succeeded(await http.post(url, json=body, headers=UPGRADE))
    for call in JAVA_QUERIES:
        url, asked = client.deployment.query_apis[0].url + call.path, {**body, "messageId": "1"}
        reply = await http.get(url, params={name: asked[name] for name in call.values}, headers=UPGRADE)
        assert (reply.status_code, "upgrade" in reply.headers) == (200, False), call.path


ORIGINS = ["http://elsewhere.test", "null", "elsewhere.test:8080", "file://", ""]


@pytest.mark.parametrize("origin", ORIGINS)
async def test_with_tokens_any_origin_calls(
    separate_processes: Any, http: httpx.AsyncClient, app_id: str, origin: str
):
    headers = {"Origin": origin}
    body = {"appId": app_id, "groupId": "g", "userId": "u", "content": "c"}
    reply = await http.post(separate_processes.command_apis[0].url + CREATE, json=body, headers=headers)
    assert_succeeded(reply)
    for call in JAVA_QUERIES:
        url, asked = separate_processes.query_apis[0].url + call.path, {**body, "messageId": "1"}
        reply = await http.get(url, params={name: asked[name] for name in call.values}, headers=headers)
        assert reply.status_code == 200, call.path


async def test_without_tokens_an_origin_is_the_service_s_own(
    standalone_process: Any, http: httpx.AsyncClient, app_id: str
):
    """With a scheme or without one, as older clients in Java write it."""
    url = standalone_process.command_apis[0].url
    body = {"appId": app_id, "groupId": "g", "userId": "u", "content": "c"}
    for origin in (url, urlsplit(url).netloc):
        assert_succeeded(await http.post(url + CREATE, json=body, headers={"Origin": origin}))
    reply = await http.post(url + CREATE, json=body, headers={"Origin": "http://elsewhere.test"})
    assert "origin" in assert_refused(reply, 403)
