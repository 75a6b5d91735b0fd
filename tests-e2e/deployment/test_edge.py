"""Tests the edge of the compose file with a real nginx in front of real processes."""

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from imc_testkit.child import Child, free_port
from imc_testkit.deployment import Deployment
from imc_testkit.events import read_page, stream
from imc_testkit.gateway import connect
from imc_testkit.programs import search_path
from imc_testkit.tokens import bearer, token
from imc_testkit.waiting import wait_until

from deployment.code import ROOT, internal_paths, public_paths

NGINX = shutil.which("nginx", path=search_path())
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

TEMPLATE = """\
daemon off;
{user}
pid {folder}/pid;
error_log stderr warn;
events {{}}
http {{
    access_log off;
    {paths}
    {edge}
}}
"""


def configuration(folder: Path, port: int, ports: dict[str, int]) -> str:
    """The edge's configuration, at another port and with addresses instead of names; ``ports`` are those."""
    edge = (ROOT / "deploy/docker/edge.conf").read_text()
    for given, real in {
        "listen 8000": f"listen 127.0.0.1:{port}",
        "/var/log/nginx": str(folder),
        "/srv/imc": str(ROOT / "docs"),
        **{name: f"127.0.0.1:{real}" for name, real in ports.items()},
    }.items():
        assert given in edge
        edge = edge.replace(given, real)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    # Workers of a root's nginx are another user's, who may not read what only root may.
    user = "user root;" if os.geteuid() == 0 else ""
    return TEMPLATE.format(folder=folder, edge=edge, paths=paths, user=user)


@contextlib.asynccontextmanager
async def running(folder: Path, ports: dict[str, int]) -> AsyncGenerator[int]:
    """The port of an edge in front of ``ports``, as long as the context lasts."""
    port = free_port()
    (folder / "nginx.conf").write_text(configuration(folder, port, ports))
    child = Child([str(NGINX), "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")], {})
    child.spawn()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:

            async def answers() -> bool:
                assert child.exit_code is None, child.log
                try:
                    return (await client.get("/livez")).status_code == 404
                except httpx.TransportError:
                    return False

            await wait_until(answers)
        yield port
    finally:
        await child.close()


@pytest.fixture(scope="module")
async def edge(
    separate_processes: Deployment, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[httpx.AsyncClient]:
    ports = {
        "command-api:8000": separate_processes.command_apis[0].port,
        "query-api:8000": separate_processes.query_apis[0].port,
        "push-node:8000": separate_processes.push_nodes[0].port,
        "push-node-$node:8000": separate_processes.push_nodes[1].port,
    }
    async with (
        running(tmp_path_factory.mktemp("edge"), ports) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        yield client


@dataclass
class Recorded:
    """An edge in front of services that note what comes to them."""

    port: int
    folder: Path
    heads: list[bytes] = field(default_factory=list[bytes])
    services: list[str] = field(default_factory=list[str])

    async def talk(self, request: bytes) -> tuple[int, dict[str, Any]]:
        """Status and JSON of the reply to a request that may be anything."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        answered = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        head, _, body = answered.partition(b"\r\n\r\n")
        assert b"content-type: application/json" in head.lower(), answered
        return int(head.split()[1]), json.loads(body)

    async def get(self, target: str, *headers: str) -> tuple[int, dict[str, Any]]:
        lines = "".join(f"{header}\r\n" for header in ("Host: h", "Connection: close", *headers))
        return await self.talk(f"GET {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))

    def logs(self) -> str:
        return "".join(path.read_text() for path in self.folder.glob("*.log"))


@pytest.fixture
async def recorded(tmp_path: Path) -> AsyncGenerator[Recorded]:
    def service(name: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            recorded.heads.append(await reader.readuntil(b"\r\n\r\n"))
            recorded.services.append(name)
            ok = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
            writer.write(ok + b"Connection: close\r\n\r\n{}")
            writer.close()

        return answer

    async with contextlib.AsyncExitStack() as stack:
        ports = dict[str, int]()
        for name in ("command-api:8000", "query-api:8000", "push-node:8000", "push-node-$node:8000"):
            started = await asyncio.start_server(service(name.partition(":")[0]), "127.0.0.1", 0)
            ports[name] = (await stack.enter_async_context(started)).sockets[0].getsockname()[1]
        recorded = Recorded(await stack.enter_async_context(running(tmp_path, ports)), tmp_path)
        yield recorded


GATEWAY = "/v1/gateways/app/"
JAVA_GATEWAY = "/chat/message/broadcast/app/"
AS_THEY_CAME = (
    "x%0dX-Evil:%201",
    "x%0d%0aX-Evil:%201%0d%0a%0d%0aGET%20/metrics%20HTTP/1.1",
    "x%0a",
    "x%3Faccess_token=SECRET",
    "x%23access_token=SECRET",
    "x%253Faccess_token=SECRET",
    "%E7%BD%91%E5%85%B3?access_token=SECRET&cursor=%0d%0aX-Evil:%201",
    "a%2Fb",
    "a//b",
    "x?a=/../../metrics",
)


@pytest.mark.parametrize("rest", AS_THEY_CAME)
async def test_what_is_passed_on_is_as_it_came_and_no_log_has_a_token(recorded: Recorded, rest: str):
    for prefix, gateway in (("", GATEWAY), ("/push/1", GATEWAY), ("", JAVA_GATEWAY)):
        assert await recorded.get(f"{prefix}{gateway}{rest}") == (200, {})
        head = recorded.heads.pop()
        assert head.split(b"\r\n")[0].decode() == f"GET {gateway}{rest} HTTP/1.1"
        assert not [line for line in head.split(b"\r\n") if line.lower().startswith(b"x-evil")]
        assert b"\r" not in head.replace(b"\r\n", b"")
    assert "SECRET" not in recorded.logs()
    assert recorded.logs().count(GATEWAY) == 2


@pytest.mark.parametrize(
    "target",
    [
        "//push/1" + GATEWAY + "x",
        "/push//1" + GATEWAY + "x",
        "/push/%31" + GATEWAY + "x",
        "/./push/1" + GATEWAY + "x",
        "/x/../push/1" + GATEWAY + "x",
        "/push/1/v1//gateways/app/x",
        "/push/1/v1/%67ateways/app/x",
        "/push/1" + GATEWAY + "../../../../metrics",
        "/push/1" + GATEWAY + "%2e%2e/%2e%2e/%2e%2e/%2e%2e/metrics",
        "/push/1" + GATEWAY + "..%2f..%2f..%2f..%2fmetrics",
        "/push/1" + GATEWAY + "x%00",
        GATEWAY + "x%00",
        JAVA_GATEWAY + "x%00",
        JAVA_GATEWAY + "..%2f..%2f..%2f..%2fmetrics",
        "/push/1" + JAVA_GATEWAY + "x",
        "/edge/malformed",
        "/push/10" + GATEWAY + "x",
        "/push/1/metrics?" + GATEWAY + "x",
        "/%6detrics",
        "/chat/../metrics",
        "/chat%2f..%2fmetrics",
    ],
)
async def test_what_would_become_another_request_is_refused(recorded: Recorded, target: str):
    status, body = await recorded.get(target)
    path_not_found = -1 if target.startswith(("/chat/", "/notice/")) else 40400
    assert (status, body["code"]) in ((404, path_not_found), (400, 40001))
    assert recorded.heads == []


async def test_each_promised_path_leads_to_its_service(recorded: Recorded):
    for path, service in public_paths().items():
        assert await recorded.get(path) == (200, {})
        assert recorded.services.pop() == service, path


async def test_no_upgrade_but_that_of_websockets_is_passed_on(recorded: Recorded):
    key = ("Connection: Upgrade", "Sec-WebSocket-Version: 13")
    for upgrade, passed in (
        ("websocket", b"websocket"),
        ("WebSocket", b"websocket"),
        ("h2c, websocket", b"websocket"),
        ("h2c", None),
        ("TLS/1.0", None),
        ("websocketx", None),
    ):
        assert await recorded.get(GATEWAY + "x", f"Upgrade: {upgrade}", *key) == (200, {})
        lines = recorded.heads.pop().lower().split(b"\r\n")
        found = [line.partition(b": ")[2] for line in lines if line.startswith(b"upgrade:")]
        assert found == ([] if passed is None else [passed]), upgrade


async def test_what_nginx_answers_itself_is_in_the_envelope(recorded: Recorded):
    head = b"Host: h\r\nConnection: close\r\n"
    post = b"POST /v1/commands/send-message HTTP/1.1\r\n" + head
    java = b"POST /chat/message/create HTTP/1.1\r\n" + head
    for request, expected in (
        (b"nonsense\r\n\r\n", (400, 40001)),
        (b"GET / HTTP/1.1\r\n\r\n", (400, 40001)),
        (post + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n", (400, 40001)),
        (post + b"Content-Length: 99999999\r\n\r\n", (413, 41301)),
        (java + b"Content-Length: 99999999\r\n\r\n", (413, -1)),
        (java + b"X: " + b"x" * 40_000 + b"\r\n\r\n", (431, -1)),
        (post + b"X: " + b"x" * 40_000 + b"\r\n\r\n", (431, 43101)),
        (b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\n" + head + b"\r\n", (431, 43101)),
        (b"TRACE / HTTP/1.1\r\n" + head + b"\r\n", (405, 40500)),
    ):
        status, body = await recorded.talk(request)
        assert (status, body["code"]) == expected, request[:60]
        assert set(body) == {"success", "code", "message", "data"}


async def test_a_service_that_is_away_leaves_no_token_in_a_log(tmp_path: Path):
    names = ("command-api:8000", "query-api:8000", "push-node:8000")
    nowhere = free_port()
    async with running(tmp_path, {**dict.fromkeys(names, nowhere), "push-node-$node:8000": nowhere}) as port:
        away = Recorded(port, tmp_path)
        for prefix in ("", "/push/1"):
            status, body = await away.get(f"{prefix}{GATEWAY}x?access_token=SECRET")
            assert (status, body["code"]) == (500, 50001)
        status, body = await away.get(f"{JAVA_GATEWAY}x?access_token=SECRET")
        assert (status, body["code"]) == (500, -1)
        assert "SECRET" not in away.logs()
        assert away.logs().count(f"127.0.0.1:{nowhere} 502") == 3


async def test_each_call_comes_to_the_service_that_answers_it(
    edge: httpx.AsyncClient, separate_processes: Deployment
):
    behind = {
        "command-api": separate_processes.command_apis[0],
        "query-api": separate_processes.query_apis[0],
        "push-node": separate_processes.push_nodes[0],
    }
    for path, service in public_paths().items():
        for method in ("GET", "POST"):
            through = await edge.request(method, path)
            async with httpx.AsyncClient(base_url=behind[service].url, trust_env=False) as client:
                direct = await client.request(method, path)
            assert (through.status_code, through.content) == (direct.status_code, direct.content), path
            assert through.status_code != 404, path


async def test_it_describes_the_calls_and_frames_of_all_services(edge: httpx.AsyncClient):
    assert (await edge.get("/docs")).status_code == 200
    reply = await edge.get("/openapi.json")
    assert reply.headers["content-type"] == "application/json"
    described = set(reply.json()["paths"])
    assert {"/v1/commands/send-message", "/v1/queries/messages", "/chat/message/findByGroupId"} <= described
    assert "/v1/gateways/{appId}/{gatewayId}/node" in described
    reply = await edge.get("/asyncapi.yaml")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/yaml")
    assert "/v1/gateways/{appId}/{gatewayId}" in reply.text


async def test_the_bare_address_leads_to_the_console(edge: httpx.AsyncClient):
    for path in ("/", "/console", "/test.html"):
        page = await edge.get(path, follow_redirects=True)
        assert (page.status_code, page.url.path) == (200, "/console/"), path
        assert page.url.port == edge.base_url.port
        assert "main.js" in page.text


async def test_internal_paths_can_not_be_reached(edge: httpx.AsyncClient):
    for path in internal_paths() - {"/docs", "/openapi.json", "/"}:
        for prefix in ("", "/push/1"):
            reply = await edge.get(prefix + path)
            assert (reply.status_code, reply.json()["code"], reply.json()["data"]) == (404, 40400, None), path


async def test_a_gateway_reaches_any_node_and_a_pinned_one_its_own(
    edge: httpx.AsyncClient, separate_processes: Deployment, app_id: str
):
    url = str(edge.base_url).rstrip("/")

    async def gateways(node: int) -> float:
        async with httpx.AsyncClient(
            base_url=separate_processes.push_nodes[node].url, trust_env=False
        ) as client:
            [line] = [
                line
                for line in (await client.get("/metrics")).text.splitlines()
                if line.startswith("imc_gateways ")
            ]
        return float(line.split()[1])

    before = await gateways(0), await gateways(1)
    async with connect(url, app_id, "plain", additional_headers=bearer(app_id)):
        assert await gateways(0) == before[0] + 1
        async with connect(
            f"{url}/push/1", app_id, "pinned", notices=True, additional_headers=bearer(app_id)
        ):
            assert await gateways(1) == before[1] + 1


@pytest.mark.parametrize("prefix", ["", "/push/1"])
async def test_events_come_through_as_they_happen(edge: httpx.AsyncClient, app_id: str, prefix: str):
    """Nothing is kept back until there is more of it, and a poll lasts as long as it is asked to."""
    url = str(edge.base_url).rstrip("/") + prefix

    async def send(content: str) -> str:
        body = {"appId": app_id, "groupId": "g", "userId": "u", "content": content}
        reply = await edge.post("/v1/commands/send-message", json=body, headers=bearer(app_id))
        return reply.json()["data"]["messageId"]

    async with stream(url, app_id, "stream", headers=bearer(app_id)) as events:
        await events.wait_for_code(2000)
        for number in range(3):
            await send(f"message {number}")
            await events.wait_for_code(2001, number + 1)
    query = {"cursor": events.last_id, "wait": 20, "access_token": token(app_id)}
    poll = asyncio.create_task(read_page(url, app_id, "poll", **query))
    await asyncio.wait({poll}, timeout=1)
    assert not poll.done()
    sent = await send("awaited")
    page = (await poll).json()["data"]
    assert [event["data"]["messageId"] for event in page["events"]] == [sent]
