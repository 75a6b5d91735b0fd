"""No input within the limits stalls others, or takes more memory than a multiple of its bytes.

What stalls others is the time that the thread of the event loop computes before it answers somebody else. It
is measured in the processor time of that thread, which does not depend on what else the machine does.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from imc_command_api.http.state import SINGLE_BODY_BYTES
from imc_command_api.settings import CommandApiSettings
from imc_push_node.settings import PushNodeSettings
from imc_testkit import bombs
from imc_testkit.calls import COMMAND_PATHS
from imc_testkit.processes import Process
from imc_testkit.tokens import bearer
from jwt.utils import base64url_encode

STALL_SECONDS = 0.2
MULTIPLE = 8
BESIDE_BYTES = 24 * 2**20
"""What a process may grow by in any case: buffers, and objects for as many values as a text may hold."""

MAX_BODY_BYTES: int = CommandApiSettings.model_fields["max_body_bytes"].default
MAX_FRAME_BYTES: int = PushNodeSettings.model_fields["max_frame_bytes"].default
MAX_HEADER_BYTES: int = CommandApiSettings.model_fields["max_header_bytes"].default

JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
SINGLE_CALLS = tuple(path for path in COMMAND_PATHS if path != "/v1/commands/send-messages")
KNOWN_FIELDS = ("content", "groupId", "type", "messageId", "informationId", "clientMessageId")
CALL_OF = {"messageId": "/v1/commands/recall-message", "informationId": "/v1/commands/delete-notice"}


def loop_seconds(process: Process) -> float:
    """Processor time of the thread of its event loop: the first number of schedstat, in nanoseconds."""
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/schedstat").read_text().split()[0]) / 1e9


def memory(process: Process, figure: str) -> int:
    """``VmRSS`` or ``VmHWM`` (the peak) of the process, in bytes."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(figure))


def reset_peak(process: Process) -> None:
    """Begin a new ``VmHWM``: see proc(5)."""
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")


class Bystander:
    """Asks for ``/livez`` all the time, and notes how much the process computed before it answered."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.longest = 0.0

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncGenerator[None]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._process.port)
        await self._ask(reader, writer)
        self.longest = 0.0
        asking = asyncio.create_task(self._keep_asking(reader, writer))
        try:
            yield
        finally:
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking
            writer.close()

    async def _keep_asking(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await self._ask(reader, writer)
            await asyncio.sleep(0.001)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        before = loop_seconds(self._process)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r")[0]))
        self.longest = max(self.longest, loop_seconds(self._process) - before)


async def assert_bounded(process: Process, size: int, work: Callable[[], Awaitable[None]]) -> None:
    """``work``, for which the process reads ``size`` bytes, stalls nobody and takes its share of memory."""
    bystander = Bystander(process)
    reset_peak(process)
    before = memory(process, "VmRSS")
    async with bystander.watching():
        await work()
    grown = memory(process, "VmHWM") - before
    assert bystander.longest <= STALL_SECONDS
    assert grown <= MULTIPLE * size + BESIDE_BYTES


async def posted(
    http: httpx.AsyncClient, process: Process, path: str, body: bytes, media_type: dict[str, str]
) -> None:
    """The body is answered, whatever is in it, and within its bounds."""

    async def post() -> None:
        reply = await http.post(process.url + path, content=body, headers=media_type, timeout=60)
        assert reply.status_code < 500, reply.text
        assert set(reply.json()) == {"success", "code", "message", "data"}

    await assert_bounded(process, len(body), post)


@pytest.mark.parametrize("kind", bombs.FIELDS)
async def test_an_unknown_field(client: Any, http: httpx.AsyncClient, app_id: str, kind: str):
    body = bombs.in_a_field(b"other", bombs.FIELDS[kind], SINGLE_BODY_BYTES, app_id)
    for path in SINGLE_CALLS:
        await posted(http, client.deployment.command_apis[0], path, body, JSON)


@pytest.mark.parametrize("kind", bombs.FIELDS)
async def test_a_known_field(client: Any, http: httpx.AsyncClient, app_id: str, kind: str):
    for field in KNOWN_FIELDS:
        body = bombs.in_a_field(field.encode(), bombs.FIELDS[kind], SINGLE_BODY_BYTES, app_id)
        path = CALL_OF.get(field, "/v1/commands/send-message")
        await posted(http, client.deployment.command_apis[0], path, body, JSON)


@pytest.mark.parametrize("kind", bombs.FIELDS)
async def test_a_field_of_a_batch(client: Any, http: httpx.AsyncClient, app_id: str, kind: str):
    send = bombs.in_a_field(b"other", bombs.FIELDS[kind], MAX_BODY_BYTES - 20, app_id)
    await posted(
        http,
        client.deployment.command_apis[0],
        "/v1/commands/send-messages",
        b'{"messages":[%b]}' % send,
        JSON,
    )
    beside = b'{"messages":[{}],"other":%b}' % bombs.FIELDS[kind](MAX_BODY_BYTES - 30)
    await posted(http, client.deployment.command_apis[0], "/v1/commands/send-messages", beside, JSON)


@pytest.mark.parametrize("kind", bombs.batches(100_000, "a"))
async def test_a_batch(client: Any, http: httpx.AsyncClient, app_id: str, kind: str):
    body = b'{"messages":%b}' % bombs.batches(MAX_BODY_BYTES - 20, app_id)[kind]
    await posted(http, client.deployment.command_apis[0], "/v1/commands/send-messages", body, JSON)


@pytest.mark.parametrize("unit", [b"a&", b"a=1&", b"informationId=1&", b"%41=%42&", b"&", b"=&", b"%"])
async def test_a_form(client: Any, http: httpx.AsyncClient, unit: bytes):
    body = unit * (SINGLE_BODY_BYTES // len(unit))
    await posted(http, client.deployment.command_apis[0], "/notice/information/delete", body, FORM)


@pytest.mark.parametrize("kind", bombs.FIELDS)
async def test_a_field_of_a_frame(client: Any, app_id: str, kind: str):
    sends = [
        bombs.in_a_field(field, bombs.FIELDS[kind], MAX_FRAME_BYTES - 2, app_id)
        for field in (b"other", b"content", b"token")
    ]
    await framed(client, app_id, [*sends, b"[%b]" % sends[0]])


@pytest.mark.parametrize("kind", bombs.batches(100_000, "a"))
async def test_a_list_in_a_frame(client: Any, app_id: str, kind: str):
    await framed(client, app_id, [bombs.batches(MAX_FRAME_BYTES, app_id)[kind]])


async def framed(client: Any, app_id: str, texts: list[bytes]) -> None:
    """Each of the frames is read within its bounds; the gateway stays and its next frame is read too."""
    node = client.deployment.push_nodes[0]
    async with client.gateway(app_id, "bomber") as gateway:
        await gateway.wait_for_code(2000)
        for number, text in enumerate(texts):

            async def write(text: bytes = text, own_id: str = f"after-{number}") -> None:
                await gateway.send_text(text.decode())
                await gateway.send_json({"groupId": " g", "clientMessageId": own_id})
                await gateway.wait_for(
                    lambda frame: frame["code"] == 4001 and frame["data"].get("clientMessageId") == own_id,
                    timeout=60,
                )

            await assert_bounded(node, len(text), write)
        assert gateway.close_code is None


@pytest.mark.parametrize("item", ["0", "[0]", "{}", '{"token":"x"}'])
async def test_many_frames_at_once(client: Any, app_id: str, item: str):
    node = client.deployment.push_nodes[0]
    async with client.gateway(app_id, "bomber") as gateway:
        await gateway.wait_for_code(2000)
        lists = "[" + ",".join([item] * 500) + "]"

        async def write() -> None:
            for text in (item, lists):
                for _ in range(20):
                    await gateway.send_text(text)

        await assert_bounded(node, 20 * len(lists), write)


@pytest.mark.parametrize("unit", ["a&", "appId=a&", "%41&", "startTime=1&", "&", "a=%F0%9F%99%82&"])
async def test_a_query(client: Any, http: httpx.AsyncClient, unit: str):
    query = "&" + unit * ((MAX_HEADER_BYTES - 600) // len(unit))
    process = client.deployment.query_apis[0]

    async def get() -> None:
        good = urlencode({"appId": "a", "groupId": "g", "userId": "u", "messageId": "1"})
        for path in (
            "/chat/message/findByGroupId",
            "/chat/message/findAfterByMessageId",
            "/chat/group/findGroupListByUserId",
        ):
            reply = await http.get(f"{process.url}{path}?{good}{query}")
            assert reply.status_code < 500, reply.text

    await assert_bounded(process, MAX_HEADER_BYTES, get)


@pytest.mark.parametrize(
    "value",
    [
        b"[" * 5000,
        b'{"a":' * 1100,
        b'{"alg":"HS256","kid":' + b"[" * 5000,
        b'{"n":' + b"1" * 5900 + b"}",
        b'{"alg":"HS256","x":[' + b"{}," * 1900 + b"0]}",
    ],
)
async def test_a_token(separate_processes: Any, value: bytes):
    for parts in ((value, b"{}", b"x"), (b'{"alg":"HS256","typ":"JWT"}', value, b"x")):
        token = b".".join(base64url_encode(part) for part in parts).decode()
        for process in (*separate_processes.command_apis, *separate_processes.query_apis):
            await answered_401(process, token)


async def answered_401(process: Process, token: str) -> None:
    async def call() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            for path in ("/v1/commands/send-message", "/chat/message/findByGroupId?appId=a&groupId=g"):
                reply = await client.get(process.url + path, headers={"Authorization": f"Bearer {token}"})
                assert reply.status_code == 401

    await assert_bounded(process, len(token), call)


@pytest.mark.parametrize("path", [*SINGLE_CALLS, "/v1/commands/send-messages"])
async def test_the_grant_is_asked_before_the_body(separate_processes: Any, path: str):
    """The reply is there while most of the body is not."""
    process = separate_processes.command_apis[0]
    host, _, port = process.url.removeprefix("http://").partition(":")
    for headers, status in (({}, b"401"), (bearer(scope="read"), b"403")):
        reader, writer = await asyncio.open_connection(host, int(port))
        head = [
            f"POST {path} HTTP/1.1",
            f"Host: {host}",
            "Content-Type: application/json",
            "Content-Length: 900000",
        ]
        head += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n{")
        async with asyncio.timeout(20):
            assert (await reader.readline()).split()[1] == status
        writer.close()
