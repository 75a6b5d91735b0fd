"""HTTP as clients in the field speak it, to real processes of both forms."""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from imc_testkit.deployment import Deployment
from imc_testkit.tokens import bearer
from imc_testkit.wire_fuzz import handshake

CREATE = "/v1/commands/send-message"


async def talk(url: str, *parts: bytes, half_closes: bool = True) -> list[tuple[int, dict[str, Any]]]:
    """Status and JSON of each reply, up to the end of the connection."""
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.3)  # a client on a slow line: its body comes behind its head
    if half_closes:
        writer.write_eof()
    answered = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    found: list[tuple[int, dict[str, Any]]] = []
    while answered:
        head, _, rest = answered.partition(b"\r\n\r\n")
        lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        size = int(lines.get(b"content-length", 0))
        status = int(head.split()[1])
        if status != 100:
            found.append((status, json.loads(rest[:size])))
        answered = rest[size:]
    return found


def request(method: str, target: str, *headers: str, body: bytes = b"") -> bytes:
    token = bearer()["Authorization"]
    lines = [
        f"{method} {target} HTTP/1.1",
        "Host: imc.test",
        f"Authorization: {token}",
        "Content-Type: application/json",
        *([f"Content-Length: {len(body)}"] if body or method == "POST" else []),
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def message(app_id: str, content: str) -> bytes:
    return json.dumps({"appId": app_id, "groupId": "g", "userId": "u", "content": content}).encode()


UPGRADES = (
    ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
    ("Connection: Upgrade", "Upgrade: TLS/1.0"),
    ("Connection: Upgrade", "Upgrade: websocket"),
)


@pytest.mark.parametrize("upgrade", UPGRADES, ids=lambda lines: lines[1])
async def test_a_send_with_a_foreign_upgrade_is_a_send(client: Any, app_id: str, upgrade: tuple[str, ...]):
    url = client.deployment.command_apis[0].url
    whole = request("POST", CREATE, *upgrade, body=message(app_id, "with an upgrade"))
    cut = whole.index(b"\r\n\r\n") + 4
    for parts in ((whole,), (whole[:cut], whole[cut:])):
        [(status, answer)] = await talk(url, *parts)
        assert (status, answer["success"]) == (200, True), answer
    await client.history(app_id, total=2)


async def test_a_body_is_never_a_second_request(client: Any, app_id: str):
    """A proxy in front looks at one request, where there would be two."""
    url = client.deployment.command_apis[0].url
    smuggled = request("POST", CREATE, body=message(app_id, "smuggled"))
    for upgrade in UPGRADES:
        whole = request("POST", CREATE, *upgrade, body=smuggled)
        cut = whole.index(b"\r\n\r\n") + 4
        good = request("POST", CREATE, body=message(app_id, "good"))
        replies = await talk(url, whole[:cut], whole[cut:] + good)
        assert [(status, answer["code"]) for status, answer in replies] == [(400, 40001), (200, 0)]
    stored = await client.history(app_id, total=len(UPGRADES))
    assert {each["content"] for each in stored} == {"good"}


async def test_a_client_that_closes_its_side_is_answered(client: Any, app_id: str):
    sends = [request("POST", CREATE, body=message(app_id, str(each))) for each in range(3)]
    replies = await talk(client.deployment.command_apis[0].url, b"".join(sends))
    assert [answer["success"] for _, answer in replies] == [True] * 3
    await client.history(app_id, total=3)
    query = request("GET", f"/chat/message/findByGroupId?appId={app_id}&groupId=g")
    replies = await talk(client.deployment.query_apis[0].url, query + query)
    assert [answer["data"]["total"] for _, answer in replies] == [3, 3]


async def test_a_group_is_never_read_as_another(client: Any, app_id: str):
    """Each of the bytes that are no UTF-8 would be the same character: that of somebody else's group."""
    await client.send(app_id, "of another group", groupId="\ufffd\ufffd\ufffd\ufffd")
    await client.history(app_id, "\ufffd\ufffd\ufffd\ufffd", total=1)
    query = client.deployment.query_apis[0].url
    for group in ("%C4%E3%BA%C3", "%ff%fe%ff%fe", "%c0%af%c0%af", "%ed%a0%80%E4", "%A", "%zz"):
        [(status, answer)] = await talk(
            query, request("GET", f"/chat/message/findByGroupId?appId={app_id}&groupId={group}")
        )
        assert (status, answer["code"], answer["data"]) == (400, -1, None), group
        assert "groupId" in answer["message"]
    published = await client.post(
        "/v1/commands/publish-notice", {"appId": app_id, "groupId": "g", "userId": "u", "content": "c"}
    )
    delete = "/notice/information/delete"
    command = client.deployment.command_apis[0].url
    form = "Content-Type: application/x-www-form-urlencoded"
    for body in (b"other=%C4%E3", b"other=\xc4\xe3", b"other=%A"):
        body += b"&informationId=" + published["data"]["informationId"].encode()
        sent = request("POST", delete, body=body).replace(b"Content-Type: application/json", form.encode())
        [(status, answer)] = await talk(command, sent)
        assert (status, answer["code"]) == (400, -1)
        assert "other" in answer["message"]


async def test_no_reply_is_a_framework_s_own(client: Any, app_id: str):
    proto, body = "X-Forwarded-Proto: https", message(app_id, "c")
    command = client.deployment.command_apis[0].url
    [(status, answer)] = await talk(command, request("POST", "/chat/message/create/", proto, body=body))
    assert (status, answer["success"]) == (200, True)
    for process in client.deployment.processes:
        for path in ("/v1/commands/send-message/", "/livez/", "/nowhere", "//livez", "*"):
            [(status, answer)] = await talk(process.url, request("POST", path, proto, body=body))
            assert (status, answer["code"]) == (404, 40400), (path, process.script)
        for raw in (b"nonsense\r\n\r\n", b"GET / HTTP/2.0\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
            [(status, answer)] = await talk(process.url, raw)
            assert (status, answer["code"]) == (400, 40001), (raw, process.script)
        [(status, answer)] = await talk(process.url, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (status, answer["code"]) == (405, 40500)


async def test_a_websocket_that_leads_nowhere_is_told_so(client: Any):
    token, nodes = f"Authorization: {bearer()['Authorization']}", client.deployment.push_nodes
    for process in client.deployment.processes:
        [(status, answer)] = await talk(
            process.url, handshake("h", "/nowhere", token), half_closes=process not in nodes
        )
        assert (status, answer["code"]) == (404, 40400), process.script
    node = nodes[0].url
    for bad in ("Sec-WebSocket-Version: 7", "Sec-WebSocket-Key: x"):
        [(status, answer)] = await talk(
            node, handshake("h", "/v1/gateways/a/g", token, bad), half_closes=False
        )
        assert (status, answer["code"]) == (400, 40001)


async def test_what_answers_get_answers_head(deployment: Deployment, http: Any, app_id: str):
    query = f"/chat/message/findByGroupId?appId={app_id}&groupId=g"
    for process, path in (
        *(
            (process, path)
            for process in deployment.processes
            for path in ("/livez", "/readyz", "/openapi.json")
        ),
        (deployment.query_apis[0], query),
        (deployment.query_apis[0], "/console/"),
        (deployment.push_nodes[0], f"/v1/gateways/{app_id}/g/node"),
    ):
        head, got = await http.head(process.url + path), await http.get(process.url + path)
        assert (head.status_code, head.content) == (got.status_code, b""), path
        assert head.headers["content-length"] == str(len(got.content)), path
        assert head.headers["content-type"] == got.headers["content-type"], path
