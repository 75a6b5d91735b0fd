"""Tests that frames of gateways are compared byte for byte, wherever reads split them."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imc_bench.push.listener import masked_frame
from imc_bench.push.stream import PING, PONG, Reading, Stream, first_frame

SIZES = (0, 5, 125, 126, 300, 65_535, 65_536)


def frame(payload: bytes, head: int = 0x81) -> bytes:
    """A frame as a server sends it, without a mask."""
    masked = masked_frame(head, payload)
    unmasked = bytearray(masked[: len(masked) - len(payload) - 4] + payload)
    unmasked[1] &= 0x7F
    return bytes(unmasked)


FRAMES = [frame(bytes([number]) * size) for number, size in enumerate(SIZES)]
WHOLE = b"".join(FRAMES)


def readings(stream: Stream, count: int) -> tuple[list[Reading], list[tuple[int, bytes]]]:
    controls: list[tuple[int, bytes]] = []
    return [
        Reading(stream, f"listener {number}", lambda kind, payload: controls.append((kind, payload)))
        for number in range(count)
    ], controls


def feed(reading: Reading, data: bytes, cuts: Sequence[int] = ()) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for begin, end in itertools.pairwise(edges):
        if begin < end:
            reading.take(memoryview(data)[begin:end])


@given(
    st.lists(st.integers(0, len(WHOLE)), max_size=8),
    st.lists(st.integers(0, len(WHOLE)), max_size=8),
)
def test_frames_are_equal_wherever_reads_split_them(first: list[int], second: list[int]):
    stream = Stream("app")
    (one, other), _ = readings(stream, 2)
    feed(one, WHOLE, first)
    feed(other, WHOLE, second)
    assert (stream.count, bytes(stream.frames), stream.faults) == (len(FRAMES), WHOLE, [])
    assert one.is_at_end
    assert other.is_at_end


def test_any_gateway_can_be_the_first_to_receive():
    stream = Stream("app")
    (one, other), _ = readings(stream, 2)
    for each in FRAMES:
        feed(one, each[:1])
        feed(other, each)
        assert not one.is_at_end
        feed(one, each[1:])
        assert one.is_at_end
        one, other = other, one
    assert stream.count == len(FRAMES)


@given(st.integers(0, len(FRAMES)), st.lists(st.integers(0, len(WHOLE)), max_size=6), st.booleans())
def test_control_frames_are_not_part_of_the_stream(at: int, cuts: list[int], leads: bool):
    stream = Stream("app")
    (pinged, other), controls = readings(stream, 2)
    ping = frame(b"ping", PING)
    received = b"".join([*FRAMES[:at], ping, *FRAMES[at:]])
    if not leads:
        feed(other, WHOLE)
    feed(pinged, received, cuts)
    if leads:
        feed(other, WHOLE)
    assert controls == [(PING, b"ping")]
    assert (bytes(stream.frames), stream.faults) == (WHOLE, [])
    assert pinged.is_at_end
    assert other.is_at_end


@pytest.mark.parametrize(
    "received",
    [
        pytest.param(b"".join(FRAMES[:2] + FRAMES[3:]), id="lost"),
        pytest.param(b"".join([FRAMES[0], *FRAMES]), id="repeated"),
        pytest.param(b"".join([FRAMES[1], FRAMES[0], *FRAMES[2:]]), id="reordered"),
        pytest.param(WHOLE[:20] + b"?" + WHOLE[21:], id="one byte"),
    ],
)
def test_different_bytes_are_a_fault(received: bytes):
    stream = Stream("app")
    (one, other), _ = readings(stream, 2)
    feed(one, WHOLE)
    feed(other, received)
    assert len(stream.faults) == 1
    assert stream.faults[0].startswith("listener 1 received")


def test_a_gateway_that_received_less_is_not_at_the_end():
    stream = Stream("app")
    (one, other), _ = readings(stream, 2)
    feed(one, WHOLE)
    feed(other, WHOLE[:-1])
    assert not other.is_at_end


@pytest.mark.parametrize("size", SIZES)
def test_the_bounds_of_a_frame_are_found(size: int):
    whole = frame(b"x" * size, PONG)
    assert first_frame(whole + b"more") == (len(whole) - size, len(whole))
    assert first_frame(whole[:-1]) is None
