"""Pings, and the pongs that are read without a parser."""

import asyncio
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
from imc_contracts.codes import CloseCode
from imc_push_node.gateway import keepalive
from imc_push_node.gateway.keepalive import PING, Keepalive, Pulse
from imc_testkit.gateway import connect
from imc_testkit.virtual_time import VirtualTimeLoop
from imc_testkit.waiting import wait_until
from websockets.frames import Frame, Opcode

SECONDS = 10.0


class FakeSocket:
    """A socket whose peer takes everything, unless a test says how much of it."""

    def __init__(self) -> None:
        self.is_paused = False
        self.has_ended = False
        self.is_gone = False
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

    def is_unreachable(self, seconds: float) -> bool:
        assert seconds == SECONDS
        return self.is_gone

    def write(self, frames: bytes) -> None:
        self.frames.append(frames)

    def close(self, code: CloseCode, reason: str) -> None:
        self.closed, self.has_ended = code, True


def frame(opcode: Opcode, data: bytes = b"") -> bytes:
    return Frame(opcode, data).serialize(mask=True)


PONG = frame(Opcode.PONG)


def test_half_open_gateways_are_found_within_40_seconds() -> None:
    """Also if one takes some bytes after its ping, and is asked once more."""
    assert keepalive.PING_SECONDS + keepalive.TURN_SECONDS + keepalive.PONG_SECONDS < 35
    assert keepalive.PING_SECONDS + keepalive.TURN_SECONDS + 2 * keepalive.PONG_SECONDS < 40


def test_gateways_have_the_time_to_answer_that_their_document_says() -> None:
    document = Path(__file__).parents[3] / "docs/gateways.md"
    text = " ".join(document.read_text("utf-8").split())
    times = f"pings every {keepalive.PING_SECONDS:g} seconds"
    assert (
        f"{times} and closes the connection if nothing comes within {keepalive.PONG_SECONDS:g} more" in text
    )


@pytest.mark.parametrize(
    ("before", "data", "is_pong"),
    [
        ([], PONG, True),
        ([PONG, frame(Opcode.TEXT, b"{}"), frame(Opcode.TEXT)], PONG, True),
        # The payload of a longer frame, which looks like a pong.
        ([frame(Opcode.TEXT, b"123456")[:6]], PONG, False),
        ([frame(Opcode.TEXT, b"1")[:1]], PONG, False),
        ([frame(Opcode.TEXT, b"1"), frame(Opcode.TEXT, b"x" * 200)[:8]], PONG, False),
        # As long as it would be if 126 were its size, where it says that its size comes next.
        ([frame(Opcode.TEXT, b"x" * 200)[: 6 + 126]], PONG, False),
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
    assert not pulse.ask(SECONDS)
    assert socket.closed is None
    assert pulse.ping()
    assert not pulse.ping(), "the answer to the last is still awaited"
    socket.untaken = len(PING)
    assert not pulse.ask(SECONDS)
    assert socket.closed == CloseCode.NO_PROGRESS


def test_who_has_ended_is_neither_pinged_nor_asked() -> None:
    socket = FakeSocket()
    pulse = Pulse(socket)
    assert pulse.ping()
    socket.has_ended = True
    assert not pulse.ask(SECONDS)
    assert socket.closed is None
    pulse.is_silent = False
    assert not pulse.ping()
    assert socket.frames == [PING]


def test_one_that_still_waits_for_its_greeting_is_pinged_too() -> None:
    socket = FakeSocket()
    socket.greeting = b""
    socket.is_paused = True
    pulse = Pulse(socket)
    assert pulse.ping()
    socket.untaken, socket.is_gone = len(PING), True
    assert not pulse.ask(SECONDS)
    assert socket.closed == CloseCode.NO_PROGRESS


def behind_pushes(untaken: int) -> tuple[FakeSocket, Pulse]:
    """A socket whose peer has 1,000 bytes to take before the ping, ``untaken`` of them when it is pinged."""
    socket = FakeSocket()
    pulse = Pulse(socket)
    socket.write(b"x" * 1000)
    socket.untaken = untaken
    assert pulse.ping()
    return socket, pulse


def test_who_takes_what_is_ahead_of_the_ping_is_asked_again() -> None:
    socket, pulse = behind_pushes(900)
    for untaken in (600, 300, 299):
        socket.untaken = untaken
        assert pulse.ask(SECONDS)
    assert not pulse.ask(SECONDS), "it takes nothing more"
    assert socket.closed == CloseCode.NO_PROGRESS


def test_who_has_the_ping_and_takes_what_follows_is_not_excused() -> None:
    """Its machine goes on taking, its process hangs."""
    socket, pulse = behind_pushes(900)
    socket.untaken = 0
    assert pulse.ask(SECONDS), "it has the ping since then only"
    socket.write(b"y" * 500)
    assert not pulse.ask(SECONDS)
    assert socket.closed == CloseCode.NO_PROGRESS


@pytest.mark.parametrize("rest", [0, 500])
def test_who_has_taken_the_ping_alone_is_excused_once(rest: int) -> None:
    """It may have much to read before it comes to the ping."""
    socket = FakeSocket()
    pulse = Pulse(socket)
    for _ in range(2):
        assert pulse.ping()
        assert pulse.ask(SECONDS)
        pulse.hear(PONG)
    assert pulse.ping()
    assert pulse.ask(SECONDS)
    socket.write(b"y" * rest)
    assert not pulse.ask(SECONDS)
    assert socket.closed == CloseCode.NO_PROGRESS


@pytest.mark.parametrize("is_gone", [False, True])
def test_one_that_is_not_read_is_judged_by_its_machine(is_gone: bool) -> None:
    socket, pulse = behind_pushes(900)
    socket.is_paused = True
    socket.untaken = 500
    socket.is_gone = True
    assert pulse.ask(SECONDS), "it has taken something"
    socket.is_gone = is_gone
    assert pulse.ask(SECONDS) is not is_gone
    assert (socket.closed == CloseCode.NO_PROGRESS) is is_gone


def test_one_that_is_not_read_is_pinged_again_once_it_has_the_ping() -> None:
    socket, pulse = behind_pushes(900)
    socket.is_paused = True
    socket.untaken = 0
    assert not pulse.ask(SECONDS)
    assert socket.closed is None
    assert pulse.ping()
    assert socket.frames[-2:] == [PING, PING]


def test_one_that_was_not_read_for_a_while_has_time_for_its_answer() -> None:
    socket = FakeSocket()
    pulse = Pulse(socket)
    assert pulse.ping()
    pulse.was_paused = True
    assert not pulse.ask(SECONDS), "its pong may be about to be read"
    assert socket.closed is None
    assert pulse.ping()
    socket.untaken = len(PING)
    assert not pulse.ask(SECONDS), "it was read all the time since"
    assert socket.closed == CloseCode.NO_PROGRESS


def test_a_pause_that_is_over_excuses_for_one_look_only() -> None:
    socket, pulse = behind_pushes(900)
    socket.is_paused = pulse.was_paused = True
    assert pulse.ask(SECONDS)
    socket.is_paused = False
    assert pulse.ask(SECONDS), "it was paused until a moment ago"
    assert not pulse.ask(SECONDS)
    assert socket.closed == CloseCode.NO_PROGRESS


def test_a_pause_before_the_ping_excuses_nobody() -> None:
    socket = FakeSocket()
    pulse = Pulse(socket)
    pulse.was_paused = True
    assert pulse.ping()
    socket.untaken = len(PING)
    assert not pulse.ask(SECONDS)
    assert socket.closed == CloseCode.NO_PROGRESS


def test_a_greeting_comes_before_the_first_ping() -> None:
    """Who connects has its 2000 within 5 seconds, unless it resumes from far back."""
    first, last = math.inf, 0.0
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:

        async def pinged_after() -> float:
            loop, socket, pings = asyncio.get_running_loop(), FakeSocket(), Keepalive()
            began, pulse = loop.time(), Pulse(socket)
            pings.join(pulse)
            await wait_until(lambda: socket.frames, keepalive.PING_SECONDS + 1, keepalive.TURN_SECONDS)
            pulse.end()
            return loop.time() - began

        for _ in range(300):
            seconds = runner.run(pinged_after())
            first, last = min(first, seconds), max(last, seconds)
    assert first >= 5
    assert last <= keepalive.PING_SECONDS + keepalive.TURN_SECONDS


def test_those_who_come_together_are_not_pinged_together() -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(_come_together())


async def _come_together() -> None:
    sockets, pings = [FakeSocket() for _ in range(1000)], Keepalive()
    pulses = [Pulse(socket) for socket in sockets]
    for pulse in pulses:
        pings.join(pulse)
    most = before = 0
    for _ in range(round(keepalive.PING_SECONDS / keepalive.TURN_SECONDS) + 1):
        await asyncio.sleep(keepalive.TURN_SECONDS)
        pinged = sum(len(socket.frames) for socket in sockets)
        most, before = max(most, pinged - before), pinged
    assert before >= len(sockets)
    assert most < len(sockets) / 5, "of forty turns"
    for pulse in pulses:
        pulse.end()


def test_every_socket_has_its_turn_and_no_timer_is_left() -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(_take_turns())


async def _take_turns() -> None:
    alive, silent, left = FakeSocket(), FakeSocket(), FakeSocket()
    pings = Keepalive(15, SECONDS)
    pulses = [Pulse(socket) for socket in (alive, silent, left)]
    for pulse in pulses:
        pings.join(pulse)
    pulses[2].end()
    for _ in range(60):
        await asyncio.sleep(1)
        pulses[0].hear(PONG)
    assert len(alive.frames) == 4, "one each 15 seconds"
    assert alive.closed is None
    assert silent.frames == [PING]
    assert silent.closed == CloseCode.NO_PROGRESS
    assert left.frames == []
    for pulse in pulses:
        pulse.end()
    await asyncio.sleep(2 * SECONDS)
    assert pings._timer is None
    pings.join(pulses[0])
    await asyncio.sleep(16)
    assert len(alive.frames) == 5, "the timer is set again by whoever comes"


def test_nothing_is_kept_of_a_socket_that_ended_after_its_ping() -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(_end_after_a_ping())


async def _end_after_a_ping() -> None:
    socket, pings = FakeSocket(), Keepalive(15, SECONDS)
    pulse = Pulse(socket)
    pings.join(pulse)
    await wait_until(lambda: socket.frames, interval=0.1)
    pulse.end()
    socket.has_ended = True
    await asyncio.sleep(2 * SECONDS)
    assert not pings._pinged
    assert pings._timer is None


async def test_the_rest_of_a_frame_that_looks_like_a_pong_is_no_pong(node: Any, app_id: str) -> None:
    async with connect(node.url, app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        pulse = node.gateway(app_id, "one").socket._pulse
        gateway.websocket.transport.write(b"\x81\x86\0\0\0\0")
        await wait_until(lambda: not pulse.is_at_frame)
        gateway.websocket.transport.write(PONG)
        assert await gateway.wait_closed() == 1007, "it was read as the text that it is"
