"""Tests that the check of order and completeness finds every kind of fault."""

import pytest
from imc_bench.push import order
from imc_bench.push.stream import Stream

APP = "app-1"


def stream_of(*messages: tuple[str, int, int]) -> Stream:
    stream = Stream(APP)
    for app_id, sender, number in messages:
        payload = f'{{"content":"{order.mark(app_id, sender, number)}"}}'.encode()
        stream.frames += bytes((0x81, len(payload))) + payload
        stream.count += 1
    return stream


RIGHT = [(APP, 0, 5), (APP, 1, 0), (APP, 0, 6), (APP, 0, 7)]
SENT = {0: range(5, 8), 1: range(0, 1)}


def test_messages_received_as_sent_have_no_fault():
    assert order.faults(stream_of(*RIGHT), SENT) == []


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param(RIGHT[:2] + RIGHT[3:], id="lost in the middle"),
        pytest.param(RIGHT[1:], id="lost at the beginning"),
        pytest.param(RIGHT[:3], id="lost at the end"),
        pytest.param([RIGHT[0], RIGHT[2], RIGHT[3]], id="all of a sender lost"),
        pytest.param([*RIGHT, RIGHT[3]], id="repeated at the end"),
        pytest.param([RIGHT[0], RIGHT[0], *RIGHT[1:]], id="repeated at the beginning"),
        pytest.param([RIGHT[0], RIGHT[1], RIGHT[3], RIGHT[2]], id="reordered"),
        pytest.param([*RIGHT, ("app-2", 0, 8)], id="of another app"),
        pytest.param([*RIGHT, (APP, 2, 0)], id="of an unknown sender"),
    ],
)
def test_a_fault_is_found(messages: list[tuple[str, int, int]]):
    assert order.faults(stream_of(*messages), SENT) != []


def test_a_frame_without_a_message_is_found():
    stream = stream_of(*RIGHT)
    stream.frames += b"\x81\x02{}"
    stream.count += 1
    assert order.faults(stream, SENT) == ["5 frames hold 4 messages"]


def test_faults_of_listeners_are_reported():
    stream = stream_of(*RIGHT)
    stream.faults.append("a gateway was closed")
    assert order.faults(stream, SENT) == ["a gateway was closed"]


def test_places_show_which_messages_a_position_covers():
    stream = stream_of(*RIGHT)
    places = order.places(stream)
    assert [message for message, _ in places] == [(sender, number) for _, sender, number in RIGHT]
    size = len(stream.frames) // len(RIGHT)
    assert [place // size for _, place in places] == [0, 1, 2, 3]
