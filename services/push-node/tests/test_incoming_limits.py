"""What a gateway writes that is no message, or not yet one: others do not wait for it, and it is bounded."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any

import httpx
import pytest
from imc_contracts.codes import CloseCode
from imc_push_node.gateway import websocket
from imc_push_node.gateway.incoming_limits import UnfinishedFrames
from imc_testkit.gateway import connect
from imc_testkit.raw_gateway import RawGateway
from imc_testkit.virtual_time import VirtualTimeLoop
from imc_testkit.waiting import wait_until
from imc_testkit.wire_fuzz import frame
from prometheus_client import CollectorRegistry, Counter, Gauge

CONTINUATION, TEXT, BINARY, PING, PONG = 0, 1, 2, 9, 10
UNBOUNDED = {"max_idle_frames_per_minute": 10**9, "max_bad_frames_per_minute": 10**9}
SEND = b'{"groupId":"g","userId":"u","content":""}'

BEGIN, END = frame(b" ", fin=False), frame(b"", CONTINUATION)

FLOODS = {
    "pongs": (b"", frame(b"", PONG), b""),
    "pings": (b"", frame(b"x" * 125, PING), b""),
    "empty fragments": (BEGIN, frame(b"", CONTINUATION, fin=False), END),
    "tiny fragments": (BEGIN, frame(b" ", CONTINUATION, fin=False), END),
    "empty texts": (b"", frame(b""), b""),
    "refused sends": (b"", frame(b"{}"), b""),
    "refused sends in lists": (b"", frame(b"[" + b"5," * 499 + b"5]"), b""),
    "good sends": (b"", frame(SEND), b""),
    "tokens": (b"", frame(b'{"token":"x"}'), b""),
}
"""What begins each, what is repeated, and what ends it."""

FLOOD_BYTES = 1_000_000
ANSWERED_FLOOD_BYTES = 100_000
"""Of what is answered, since the test has to read the answers."""

MARK = b'{"clientMessageId":"the end of the flood"}'


def flood(kind: str) -> bytes:
    first, many, last = FLOODS[kind]
    size = ANSWERED_FLOOD_BYTES if kind.startswith(("refused", "empty texts")) else FLOOD_BYTES
    return first + many * (size // len(many)) + last


@contextlib.asynccontextmanager
async def raw_gateway(node: Any, app_id: str) -> AsyncGenerator[RawGateway]:
    async with RawGateway.connecting(node.url, app_id, "raw") as gateway:
        await gateway.read_until(b'"code":2000')
        yield gateway


async def metric(node: Any, name: str) -> float:
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(node.url + "/metrics")).text
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + " "))


@pytest.mark.parametrize("kind", FLOODS)
async def test_others_have_their_turn_while_one_floods(
    start_node: Any, command_api: Any, app_id: str, kind: str
) -> None:
    """All of the flood is here before the other is read; that one is answered before the flood is through."""
    node = await start_node(
        command_api_url=command_api.url, gateway_buffer_bytes=10**9, forward_gateway_bytes=10**9, **UNBOUNDED
    )
    async with connect(node.url, app_id, "flood") as flooding, connect(node.url, app_id, "other") as other:
        for gateway in (flooding, other):
            await gateway.wait_for_code(2000)
        await other.send_text('{"clientMessageId":"mine"}')
        socket = node.gateway(app_id, "flood").socket
        socket.data_received(flood(kind) + frame(MARK))
        assert websocket.TURN_WORK <= socket._work < 4 * websocket.TURN_WORK
        await other.wait_for_code(4001)
        assert not is_through(flooding)
        await wait_until(lambda: is_through(flooding), 60)
        assert flooding.close_code is None


def is_through(gateway: Any) -> bool:
    answers = gateway.with_code(4001)
    return bool(answers) and (answers[-1]["data"] or {}).get("clientMessageId") == "the end of the flood"


@pytest.mark.parametrize("kind", ["pongs", "pings", "empty fragments", "tiny fragments"])
async def test_frames_that_carry_nothing_are_borne_up_to_a_rate(
    start_node: Any, app_id: str, kind: str
) -> None:
    node = await start_node(max_idle_frames_per_minute=1000)
    first, many, _ = FLOODS[kind]
    count = 999 if first else 1000
    async with raw_gateway(node, app_id) as gateway:
        gateway.write(first + many * count + frame(MARK, CONTINUATION if first else TEXT))
        await gateway.read_until(b"the end of the flood")
        gateway.write(frame(b"", PONG))
        assert await gateway.close_code() == CloseCode.BAD_REQUEST
    assert await metric(node, 'imc_gateway_frame_failures_total{limit="flood"}') == 1
    assert await metric(node, 'imc_gateway_closes_total{code="1008"}') == 1


async def test_pongs_that_come_one_by_one_are_counted_too(start_node: Any, app_id: str) -> None:
    node = await start_node(max_idle_frames_per_minute=100)
    async with connect(node.url, app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        socket = node.gateway(app_id, "one").socket
        for _ in range(100):
            socket.data_received(frame(b"", PONG))
        assert not socket.has_ended
        socket.data_received(frame(b"", PONG))
        assert await gateway.wait_closed() == CloseCode.BAD_REQUEST


@pytest.mark.parametrize("kind", ["refused sends", "refused sends in lists", "empty texts", "tokens"])
async def test_texts_that_are_not_accepted_are_borne_up_to_a_rate(
    start_node: Any, app_id: str, kind: str
) -> None:
    node = await start_node(max_bad_frames_per_minute=1000)
    async with raw_gateway(node, app_id) as gateway:
        gateway.write(flood(kind))
        assert await gateway.close_code() == CloseCode.BAD_REQUEST


async def test_long_fragments_are_not_counted(start_node: Any, app_id: str) -> None:
    node = await start_node(max_idle_frames_per_minute=1)
    async with raw_gateway(node, app_id) as gateway:
        middle = frame(b" " * websocket.TINY_BYTES, CONTINUATION, fin=False) * 1000
        gateway.write(frame(b" " * websocket.TINY_BYTES, fin=False) + middle + frame(MARK, CONTINUATION))
        await gateway.read_until(b"the end of the flood")


@pytest.mark.parametrize("most", [1000, 10**6])
async def test_a_flood_after_the_close_frame_is_not_answered(start_node: Any, app_id: str, most: int) -> None:
    """Nor is it parsed once it is too much; then the node hangs up without the peer's close frame."""
    node = await start_node(max_idle_frames_per_minute=most)
    async with raw_gateway(node, app_id) as gateway:
        gateway.write(frame(b"x", BINARY) + frame(b"x", PING) * 100 + frame(MARK) * 100)
        assert await gateway.close_code() == CloseCode.BINARY_FRAME
        gateway.write(frame(b"x", PING) * 5000 + frame(MARK) * 100 + frame(b"", 8))
        assert await gateway.rest() == b""


async def test_nothing_is_read_before_the_handshake_is_answered(
    start_node: Any, app_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await start_node()
    asked, answer = asyncio.Event(), asyncio.Event()

    async def take(_app_id: str, _gateway_id: str) -> None:
        asked.set()
        await answer.wait()

    monkeypatch.setattr(node.push_node.connections.gateway_quota, "take", take)
    async with (
        RawGateway.connecting(node.url, app_id, "raw") as gateway,
        httpx.AsyncClient(base_url=node.url, trust_env=False) as http,
    ):
        await asked.wait()
        gateway.write(frame(b"x" * 1_000_000) * 30)
        for _ in range(50):
            await http.get("/livez")
        assert gateway.unsent_bytes > 1_000_000
        answer.set()
        await gateway.read_until(b'"code":2000')
        await gateway.read_until(b'"code":4001')


UNFINISHED = {
    "half a head": [frame(b"x")[:1]],
    "a head alone": [frame(b"x")[:2]],
    "a head and a mask": [frame(b"x" * 100)[:6]],
    "half a text": [frame(b"x" * 100)[:50]],
    "a byte now and then": [frame(b"x" * 100)[:50], *([b"x"] * 40)],
    "a message without an end": [frame(b"x", fin=False)],
    "fragments now and then": [frame(b"x", fin=False), *([frame(b"x", CONTINUATION, fin=False)] * 1000)],
    "pings within a message": [frame(b"x", fin=False), *([frame(b"", PING)] * 1000)],
    "half a ping": [frame(b"x" * 100, PING)[:50]],
    "half a close frame": [frame(b"\x03\xe8", 8)[:5]],
}


@pytest.mark.parametrize("kind", UNFINISHED)
async def test_a_frame_that_does_not_end_is_given_up(start_node: Any, app_id: str, kind: str) -> None:
    node = await start_node(frame_seconds=1)
    async with raw_gateway(node, app_id) as gateway:
        dripping = asyncio.create_task(gateway.drip(UNFINISHED[kind], 0.05))
        assert await gateway.close_code() == CloseCode.NO_PROGRESS
        dripping.cancel()
    assert await metric(node, 'imc_gateway_frame_failures_total{limit="late"}') == 1
    assert await metric(node, "imc_gateway_unfinished_bytes") == 0


async def test_what_is_finished_is_forgotten(start_node: Any, app_id: str) -> None:
    node = await start_node(frame_seconds=600)
    async with raw_gateway(node, app_id) as gateway, raw_gateway(node, app_id + "x") as leaving:
        text = frame(b"x" * 10_000)
        gateway.write(text[:-1000])
        leaving.write(text[:-1000])
        size = 2 * 9000.0
        await wait_until(lambda: is_metric(node, "imc_gateway_unfinished_bytes", size))
        gateway.write(text[-1000:])
        await gateway.read_until(b'"code":4001')
        await wait_until(lambda: is_metric(node, "imc_gateway_unfinished_bytes", size / 2))
        leaving.abort()
        await wait_until(lambda: is_metric(node, "imc_gateway_unfinished_bytes", 0))


async def is_metric(node: Any, name: str, value: float) -> bool:
    return await metric(node, name) == value


async def test_the_bytes_of_all_are_bounded(start_node: Any, app_id: str) -> None:
    node = await start_node(frame_seconds=600, unfinished_node_bytes=1_000_000)
    text = frame(b"x" * 450_000)
    async with contextlib.AsyncExitStack() as stack:
        first, second, third = [
            await stack.enter_async_context(raw_gateway(node, f"{app_id}{index}")) for index in range(3)
        ]
        for count, gateway in enumerate((first, second), 1):
            gateway.write(text[:-1])
            size = count * 449_999.0
            await wait_until(lambda size=size: is_metric(node, "imc_gateway_unfinished_bytes", size))
        third.write(text[:-1])
        assert await first.close_code() == CloseCode.TRY_AGAIN_LATER
        for gateway in (second, third):
            gateway.write(text[-1:])
            await gateway.read_until(b'"code":4001')
    assert await metric(node, 'imc_gateway_frame_failures_total{limit="space"}') == 1


# The table of what is unfinished, in virtual time.


class FakeWriter:
    """A socket that is told when it is given up."""

    def __init__(self) -> None:
        self.code: CloseCode | None = None
        self.failed_at = 0.0

    def fail(self, code: CloseCode, reason: str) -> None:
        assert self.code is None
        self.code, self.failed_at = code, asyncio.get_running_loop().time()


def table(seconds: float = 60, node_bytes: int = 1000) -> UnfinishedFrames:
    registry = CollectorRegistry()
    failed = Counter("failed", "Failed.", ["limit"], registry=registry)
    return UnfinishedFrames(seconds, node_bytes, failed, Gauge("size", "Size.", registry=registry))


def in_virtual_time(main: Callable[[], Any]) -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())


def test_each_frame_has_its_own_time() -> None:
    async def main() -> None:
        frames, one, two, three = table(), FakeWriter(), FakeWriter(), FakeWriter()
        frames.note(one, 1, is_new=False)
        await asyncio.sleep(20)
        frames.note(two, 1, is_new=False)
        frames.note(three, 1, is_new=False)
        for _ in range(10):
            await asyncio.sleep(5)
            frames.note(two, 2, is_new=False)
            frames.note(three, 2, is_new=True)  # another frame each time
        assert (one.failed_at, two.code, three.code) == (60, None, None)
        await asyncio.sleep(61)
        assert (one.code, one.failed_at) == (CloseCode.NO_PROGRESS, 60)
        assert (two.code, two.failed_at) == (CloseCode.NO_PROGRESS, 80)
        assert (three.code, three.failed_at) == (CloseCode.NO_PROGRESS, 130)
        frames.note(four := FakeWriter(), 1, is_new=True)
        await asyncio.sleep(61)
        assert four.failed_at == 131 + 60, "the timer is set again"

    in_virtual_time(main)


def test_one_that_is_forgotten_is_not_given_up() -> None:
    async def main() -> None:
        frames, one = table(), FakeWriter()
        frames.note(one, 1, is_new=False)
        frames.forget(one)
        frames.forget(one)
        await asyncio.sleep(61)
        assert one.code is None

    in_virtual_time(main)


def test_room_is_made_by_the_oldest_of_those_with_more_than_their_share() -> None:
    async def main() -> None:
        frames, small, old, new = table(), FakeWriter(), FakeWriter(), FakeWriter()
        frames.note(small, 10, is_new=False)
        frames.note(old, 490, is_new=False)
        frames.note(new, 500, is_new=False)
        assert (small.code, old.code, new.code) == (None, None, None), "that is all that there may be"
        frames.note(small, 11, is_new=False)
        assert (small.code, old.code, new.code) == (None, CloseCode.TRY_AGAIN_LATER, None)
        frames.note(new, 989, is_new=False)
        assert new.code is None, "what is given up takes no room any more"
        frames.note(new, 990, is_new=False)
        assert (small.code, new.code) == (None, CloseCode.TRY_AGAIN_LATER)

    in_virtual_time(main)
