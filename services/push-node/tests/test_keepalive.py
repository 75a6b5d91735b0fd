"""Pings, and the pongs that are read without a parser."""

import itertools
from typing import Any

import pytest
from imc_contracts.codes import CloseCode
from imc_push_node import keepalive
from imc_push_node.keepalive import PING, Keepalive, Pulse
from imc_testkit.gateway import connect
from imc_testkit.waiting import wait_until
from websockets.frames import Frame, Opcode


class FakeSocket:
    """A socket whose peer takes everything, unless a test says how much of it."""

    def __init__(self) -> None:
        self.read_paused = False
        self.has_ended = False
        self.greeting = b"2000"
        self.frames: list[bytes] = []
        """What was written after it."""
        self.closed: CloseCode | None = None
        self.untaken = 0

    @property
    def written(self) -> int:
        return len(self.greeting) + sum(map(len, self.frames))

    @property
    def taken(self) -> int:
        return self.written - self.untaken

    def write(self, frames: bytes) -> None:
        self.frames.append(frames)

    def close(self, code: CloseCode, reason: str) -> None:
        self.closed, self.has_ended = code, True


def frame(opcode: Opcode, data: bytes = b"") -> bytes:
    return Frame(opcode, data).serialize(mask=True)


PONG = frame(Opcode.PONG)


def test_half_open_gateways_are_found_within_40_seconds() -> None:
    assert keepalive.PING_SECONDS + keepalive.TURN_SECONDS + keepalive.PONG_SECONDS < 35


@pytest.mark.parametrize(
    ("before", "data", "is_pong"),
    [
        ([], PONG, True),
        ([PONG, frame(Opcode.TEXT, b"{}"), frame(Opcode.TEXT)], PONG, True),
        # The payload of a longer frame, which looks like a pong.
        ([frame(Opcode.TEXT, b"123456")[:6]], PONG, False),
        ([frame(Opcode.TEXT, b"1")[:1]], PONG, False),
        ([frame(Opcode.TEXT, b"1"), frame(Opcode.TEXT, b"x" * 200)[:8]], PONG, False),
        # It is not known where a frame begins after several at once.
        ([PONG + PONG], PONG, False),
        ([], PONG + PONG, False),
        ([], frame(Opcode.PONG, b"1"), False),
        ([], frame(Opcode.PING), False),
        ([], frame(Opcode.TEXT), False),
        ([], b"", False),
        ([], b"\x81", False),
    ],
    # Masks are random; a case must have the same name in every process that collects it.
    ids=itertools.count(),
)
def test_a_pong_is_one_only_where_a_frame_begins(before: list[bytes], data: bytes, is_pong: bool) -> None:
    pulse = Pulse(FakeSocket())
    for part in before:
        pulse.hear(part)
    assert pulse.hear(data) is is_pong


def test_who_is_silent_after_a_ping_is_gone() -> None:
    socket = FakeSocket()
    pulse = Pulse(socket)
    assert pulse.ping()
    assert socket.frames == [PING]
    pulse.hear(frame(Opcode.TEXT, b"anything"))
    assert not pulse.ask()
    assert socket.closed is None
    assert pulse.ping()
    assert not pulse.ping(), "the answer to the last is still awaited"
    socket.untaken = len(PING)
    assert not pulse.ask()
    assert socket.closed == CloseCode.NO_PROGRESS


def test_nobody_is_pinged_before_the_greeting() -> None:
    socket = FakeSocket()
    socket.greeting = b""
    pulse = Pulse(socket)
    assert not pulse.ping()
    assert not pulse.ask()
    assert socket.frames == []
    socket.greeting = b"2000"
    assert pulse.ping()


def test_who_can_not_have_answered_yet_is_asked_again() -> None:
    socket = FakeSocket()
    pulse = Pulse(socket)
    socket.write(b"x" * 1000)
    socket.untaken = 900
    assert pulse.ping()
    for untaken in (600, 300):
        socket.untaken = untaken
        assert pulse.ask(), "it still takes what was written ahead of the ping"
    socket.read_paused = True
    assert pulse.ask(), "its pong is not read"
    socket.read_paused = False
    assert not pulse.ask()
    assert socket.closed == CloseCode.NO_PROGRESS


async def test_every_socket_has_its_turn_and_no_timer_is_left() -> None:
    alive, silent, left = FakeSocket(), FakeSocket(), FakeSocket()
    silent.untaken = len(PING)
    pings = Keepalive(0.05, 0.05)
    pulses = [Pulse(socket) for socket in (alive, silent, left)]
    for pulse in pulses:
        pings.join(pulse)
    pulses[2].end()

    def answered() -> bool:
        pulses[0].hear(PONG)
        return len(alive.frames) > 3 and silent.closed is not None

    await wait_until(answered, interval=0.005)
    assert left.frames == []
    assert alive.closed is None
    for pulse in pulses:
        pulse.end()
    await wait_until(lambda: pings._timer is None)


async def test_the_rest_of_a_frame_that_looks_like_a_pong_is_no_pong(node: Any, app_id: str) -> None:
    async with connect(node.url, app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        pulse = node.gateway(app_id, "one").socket._pulse
        gateway.websocket.transport.write(b"\x81\x86\0\0\0\0")
        await wait_until(lambda: not pulse.is_at_frame)
        gateway.websocket.transport.write(PONG)
        assert await gateway.wait_closed() == 1007, "it was read as the text that it is"
