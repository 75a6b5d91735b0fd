"""No gateway without a good token: before the upgrade, and for as long as its socket is open."""

import asyncio
import time

import httpx
import pytest
from imc_testkit.calls import COMMANDS
from imc_testkit.deployment import Deployment
from imc_testkit.gateway import Gateway, connect, connect_at
from imc_testkit.tokens import EVERY_SCOPE, bad_tokens, bearer, token
from prometheus_client.parser import text_string_to_metric_families

MESSAGE = {"groupId": "g", "userId": "u", "content": "c"}


LARGEST_LINE = 8000
"""A handshake with more than some bytes more in a line is refused as that: see the tests of push-node."""

BRIEF = 4
"""Seconds that a token lives of which the end is waited for: time enough to connect on a busy machine."""

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Node:
    """A push-node, asked for upgrades that it must refuse."""

    def __init__(self, guarded: Deployment, http: httpx.AsyncClient) -> None:
        self.url = guarded.push_nodes[0].url
        self._http = http

    async def answer(
        self, token: str | None, path: str = "app/gateway", origin: str | None = None, **query: str
    ) -> tuple[int, int, str | None]:
        """Status, code and challenge of the reply that came instead of an upgrade."""
        headers = {} if token is None else {b"Authorization": f"Bearer {token}".encode()}
        if origin is not None:
            headers[b"Origin"] = origin.encode()
        all_headers = {**{name.encode(): value.encode() for name, value in UPGRADE.items()}, **headers}
        address = f"{self.url}/v1/gateways/{path}"
        reply = await self._http.get(address, params=query, headers=all_headers)
        body = reply.json()
        assert (body["success"], body["data"], reply.headers["Content-Type"]) == (
            False,
            None,
            "application/json",
        )
        return reply.status_code, body["code"], reply.headers.get("WWW-Authenticate")

    async def counted(self) -> dict[tuple[str, str, str], float]:
        """What was answered so far, by the name of the metric, the door and the status."""
        metrics = text_string_to_metric_families((await self._http.get(self.url + "/metrics")).text)
        return {
            (sample.name, sample.labels.get("door", ""), sample.labels["status"]): sample.value
            for family in metrics
            if family.name in ("imc_gateway_handshakes", "imc_guard_refusals")
            for sample in family.samples
            if sample.name.endswith("_total")
        }


@pytest.fixture
def node(guarded: Deployment, stranger: httpx.AsyncClient) -> Node:
    return Node(guarded, stranger)


async def test_no_bad_token_is_upgraded(node: Node):
    refused = (401, 40101, "Bearer")
    assert await node.answer(None) == refused
    for name, bad in bad_tokens("app", "gateway send").items():
        if len(bad) > LARGEST_LINE:
            continue
        assert await node.answer(bad) == refused, name
        assert await node.answer(None, access_token=bad, cursor="x") == refused, name


async def test_a_gateway_needs_its_scope_and_its_app(node: Node):
    refused = (403, 40301, None)
    for apps, scope in (
        ("app", "send recall notice read"),
        ("*", ""),
        ("other", EVERY_SCOPE),
        ("APP", EVERY_SCOPE),
        ([], EVERY_SCOPE),
        ("gateway", EVERY_SCOPE),
    ):
        assert await node.answer(token(apps, scope)) == refused, (apps, scope)
        assert await node.answer(None, access_token=token(apps, scope)) == refused, (apps, scope)
    for path in ("APP/g", "app%20/g", "ap%70x/g", "%2e%2e/g", "xapp/g", "app%00/g"):
        assert await node.answer(token("app"), path) == refused, path


async def test_each_refusal_is_counted(node: Node):
    before = await node.counted()
    await node.answer(None)
    await node.answer(token("other"))
    await node.answer(token("app"), origin="http://evil.test")
    after = await node.counted()
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert {name: number for name, number in grown.items() if number} == {
        ("imc_gateway_handshakes_total", "v1", "401"): 1,
        ("imc_gateway_handshakes_total", "v1", "403"): 1,
        ("imc_guard_refusals_total", "", "403"): 1,
    }


async def test_only_who_may_connect_is_told_where(guarded: Deployment, stranger: httpx.AsyncClient):
    url = f"{guarded.push_nodes[0].url}/v1/gateways/app/gateway/node"
    for headers, status in (
        ({}, 401),
        (bearer("other"), 403),
        (bearer("app", "send read"), 403),
        (bearer("app", "gateway"), 503),
    ):
        assert (await stranger.get(url, headers=headers)).status_code == status


async def test_a_browser_brings_its_token_in_the_query(guarded: Deployment, app_id: str):
    url = f"{guarded.push_nodes[0].url}/v1/gateways/{app_id}/gateway"
    async with connect_at(f"{url}?access_token={token(app_id, 'gateway')}&notices=1") as gateway:
        await gateway.wait_for_code(2000)


async def test_without_send_a_gateway_may_listen_alone(
    guarded: Deployment, stranger: httpx.AsyncClient, app_id: str
):
    node = guarded.push_nodes[0].url
    async with connect(node, app_id, "quiet", additional_headers=bearer(app_id, "gateway")) as gateway:
        await gateway.wait_for_code(2000)
        await gateway.send_json([MESSAGE, {**MESSAGE, "clientMessageId": "mine"}])
        without, with_id = await gateway.wait_for_code(4001, 2)
        forbidden = {"error": 40301, "retryable": False}
        assert without["data"] == {**forbidden, "index": 0}
        assert with_id["data"] == {**forbidden, "index": 1, "clientMessageId": "mine"}
        assert "send" in with_id["message"]
        reply = await COMMANDS[0].make(guarded, stranger, bearer(app_id, "send"), appId=app_id)
        pushed = await gateway.wait_for_code(2001)
        assert [frame["data"]["messageId"] for frame in pushed] == [reply.json()["data"]["messageId"]]


async def test_a_gateway_may_send_what_its_token_allows(guarded: Deployment, app_id: str):
    node = guarded.push_nodes[0].url
    async with connect(node, app_id, "loud", additional_headers=bearer(app_id, "gateway send")) as gateway:
        await gateway.wait_for_code(2000)
        await gateway.send_json({**MESSAGE, "clientMessageId": "mine"})
        await gateway.wait_for_code(2003)
        await gateway.wait_for_code(2001)


async def closed_after(gateway: Gateway, begun: float, lifetime: float) -> None:
    """Wait until a gateway is sent away, which must not be before its token expires.

    That it is then sent away within a second, push-node's own tests show, with a clock that they set.
    """
    assert await gateway.wait_closed(timeout=60) == 4401
    assert time.time() - begun > lifetime - 0.1


async def test_a_socket_ends_with_its_token(
    both_forms: list[Deployment], stranger: httpx.AsyncClient, app_id: str
):
    await asyncio.gather(*(sockets_end(Node(each, stranger), app_id) for each in both_forms))


async def sockets_end(node: Node, app_id: str) -> None:
    begun = time.time()
    short = token(app_id, lifetime=BRIEF)
    headers = {"Authorization": f"Bearer {short}"}
    async with (
        connect(node.url, app_id, "brief", additional_headers=headers) as brief,
        connect(node.url, app_id, "idle", additional_headers=bearer(app_id, lifetime=BRIEF + 1)) as idle,
        connect(node.url, app_id, "long", additional_headers=bearer(app_id)) as long,
    ):
        await long.wait_for_code(2000)
        await closed_after(brief, begun, BRIEF)
        assert await node.answer(short, f"{app_id}/brief") == (401, 40101, "Bearer")
        await closed_after(idle, begun, BRIEF + 1)
        await long.send_json({**MESSAGE, "clientMessageId": "still here"})
        await long.wait_for_code(2003)


async def test_a_fresh_token_keeps_a_socket_open(both_forms: list[Deployment], app_id: str):
    await asyncio.gather(*(fresh_token_counts(each, app_id) for each in both_forms))


async def fresh_token_counts(guarded: Deployment, app_id: str) -> None:
    node = guarded.push_nodes[0].url
    begun = time.time()
    async with (
        connect(node, app_id, "renews", additional_headers=bearer(app_id, lifetime=BRIEF)) as renews,
        connect(node, app_id, "forgets", additional_headers=bearer(app_id, lifetime=BRIEF)) as forgets,
    ):
        await forgets.wait_for_code(2000)
        await renews.send_json({"token": token(app_id, "gateway send", lifetime=3 * BRIEF)})
        await closed_after(forgets, begun, BRIEF)
        await renews.send_json({**MESSAGE, "clientMessageId": "mine"})
        await renews.wait_for_code(2003)
        await closed_after(renews, begun, 3 * BRIEF)
        assert renews.with_code(4001) == []


async def test_no_bad_token_keeps_a_socket_open(both_forms: list[Deployment], app_id: str):
    await asyncio.gather(*(bad_tokens_do_not_count(each, app_id) for each in both_forms))


async def bad_tokens_do_not_count(guarded: Deployment, app_id: str) -> None:
    node = guarded.push_nodes[0].url
    headers = bearer(app_id, lifetime=2 * BRIEF)
    foreign = {
        "of another app": token(f"{app_id}x"),
        "that may not connect": token(app_id, "send"),
        "that may not send": token(app_id, "gateway"),
    }
    begun = time.time()
    async with connect(node, app_id, "stale", additional_headers=headers) as gateway:
        await gateway.wait_for_code(2000)
        for number, bad in enumerate({**bad_tokens(app_id), **foreign}.values(), 1):
            await gateway.send_json({"token": bad})
            answer = (await gateway.wait_for_code(4001, number))[-1]
            error = 40301 if bad in foreign.values() else 40101
            assert (answer["success"], answer["data"]) == (False, {"error": error, "retryable": False})
            assert answer["message"].startswith("the new token is not accepted: ")
        await closed_after(gateway, begun, 2 * BRIEF)


async def test_a_field_called_token_makes_no_token(guarded: Deployment, app_id: str):
    node = guarded.push_nodes[0].url
    async with connect(node, app_id, "sender", additional_headers=bearer(app_id)) as gateway:
        await gateway.wait_for_code(2000)
        await gateway.send_json({**MESSAGE, "token": "a field of its own", "clientMessageId": "a"})
        await gateway.wait_for_code(2003)
        await gateway.send_json([{"token": token(app_id)}])
        await gateway.send_json({"token": 1})
        assert all("is missing" in frame["message"] for frame in await gateway.wait_for_code(4001, 2))


async def test_where_nobody_is_asked_a_token_changes_nothing(standalone_process: Deployment, app_id: str):
    async with connect(standalone_process.push_nodes[0].url, app_id, "any") as gateway:
        await gateway.wait_for_code(2000)
        await gateway.send_json({"token": "nonsense"})
        await gateway.send_json({**MESSAGE, "clientMessageId": "mine"})
        await gateway.wait_for_code(2003)
        assert gateway.with_code(4001) == []
