"""The gateways in docs/gateways.md work as they are printed there, in each language."""

import re
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from imc_testkit.deployment import Deployment
from imc_testkit.gateway import connect
from imc_testkit.proxy import TcpProxy, tcp_proxy
from imc_testkit.tokens import bearer, token
from project_files import ROOT

from clients.program import Event, Program
from clients.toolchains import QUICK_JAVA, SOURCES, built, files_of, java, node

DOCUMENT = ROOT / "docs/gateways.md"
BODY = {"groupId": "lobby", "userId": "ann"}


def example(language: str) -> str:
    """The gateway in a language: the only such block of code in the document."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    return text


def in_python(folder: Path) -> list[str]:
    (folder / "gateway.py").write_text(example("python"))
    return [sys.executable, "gateway.py"]


def in_javascript(folder: Path) -> list[str]:
    # Node looks for packages beside the program, and above it.
    (folder / "node_modules").symlink_to(node() / "node_modules")
    (folder / "gateway.mjs").write_text(example("javascript"))
    return ["node", "gateway.mjs"]


def in_java(folder: Path) -> list[str]:
    (folder / "Gateway.java").write_text(example("java"))
    return [*QUICK_JAVA, "-cp", f"{java() / 'jars'}/*", "Gateway.java"]


def in_go(_: Path) -> list[str]:
    module = files_of(SOURCES / "go")["go.mod"]
    program = built(
        "documented-go",
        {"go.mod": module, "main.go": example("go")},
        fetch=[["go", "mod", "tidy"]],
        build=[["go", "build", "-o", "gateway"]],
    )
    return [str(program / "gateway")]


class Installation:
    """An installation that the gateway reaches through a proxy."""

    def __init__(self, deployment: Deployment, http: httpx.AsyncClient, proxy: TcpProxy, app_id: str) -> None:
        self._deployment = deployment
        self._http = http
        self._app_id = app_id
        self.proxy = proxy

    @property
    def gateway_url(self) -> str:
        """What the gateway connects to."""
        return f"ws://127.0.0.1:{self.proxy.port}/v1/gateways/{self._app_id}/gateway-1"

    async def send(self, content: str) -> None:
        """Send a message from elsewhere."""
        url = f"{self._deployment.command_apis[0].url}/v1/commands/send-message"
        reply = await self._http.post(url, json={**BODY, "appId": self._app_id, "content": content})
        assert reply.status_code == 200, reply.text

    async def replace(self) -> None:
        """Connect as the same gateway, and leave."""
        url = self._deployment.push_nodes[-1].url
        async with connect(url, self._app_id, "gateway-1", additional_headers=bearer()) as gateway:
            await gateway.wait_for_code(2000)


@pytest.fixture
async def installation(
    deployment: Deployment, http: httpx.AsyncClient, app_id: str
) -> AsyncGenerator[Installation]:
    port = urlsplit(deployment.push_nodes[0].url).port
    assert port is not None
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(tcp_proxy("127.0.0.1", port))
        yield Installation(deployment, http, proxy, app_id)


@pytest.fixture(params=[in_python, in_javascript, in_java, in_go], ids=lambda program: program.__name__[3:])
def gateway(request: pytest.FixtureRequest, tmp_path: Path, installation: Installation) -> Program:
    program: Callable[[Path], list[str]] = request.param
    command = [*program(tmp_path), installation.gateway_url, "cursor.txt"]
    return Program(command, tmp_path, {"IMC_TOKEN": token()})


async def test_it_sends_resumes_and_stops_when_it_is_replaced(gateway: Program, installation: Installation):
    async with gateway:
        frames = [await gateway.event()]
        assert (frames[0]["code"], frames[0]["recovered"]) == (2000, False)
        await gateway.write({**BODY, "content": "first", "clientMessageId": "first"})
        sent = ["first"]
        await read_until(gateway, frames, sent, {"first"})

        for cut in ("after one cut", "after another"):
            installation.proxy.refuse()
            missed = [f"missed {cut} {number}" for number in range(5)]
            for content in missed:
                await installation.send(content)
            await gateway.write({**BODY, "content": cut, "clientMessageId": cut})
            await installation.proxy.accept()
            sent += [*missed, cut]
            await read_until(gateway, frames, sent, {cut})
        assert [frame["recovered"] for frame in frames if frame["code"] == 2000] == [False, True, True]

        await installation.replace()
        code, errors = await gateway.ended()
        assert (code, "4409" in errors) == (1, True), errors


async def read_until(gateway: Program, frames: list[Event], sent: list[str], answered: set[str]) -> None:
    """Read frames until all that was sent has come, once and in order, with 2003 for those ``answered``."""

    def accepted() -> set[str]:
        return {frame["data"]["clientMessageId"] for frame in frames if frame["code"] == 2003}

    def contents() -> list[str]:
        return [frame["data"]["content"] for frame in frames if frame["code"] == 2001]

    while len(contents()) < len(sent) or not answered <= accepted():
        frames.append(await gateway.event())
    assert contents() == sent
