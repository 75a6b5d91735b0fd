"""The inner parts of the websockets library that the node relies on, at each place where bytes may end."""

import pytest
from imc_push_node.gateway import frame_parser
from imc_testkit.wire_fuzz import frame
from websockets.protocol import OPEN, SERVER, Protocol


@pytest.mark.parametrize("size", [0, 1, 125, 126, 70_000])
def test_it_is_known_whether_a_frame_is_complete(size: int) -> None:
    whole = frame(b"x" * size)
    connection = Protocol(SERVER, state=OPEN, max_size=100_000)
    for at in (*range(1, 20), size // 2, len(whole) - 1):
        if 0 < at < len(whole):
            connection.receive_data(whole[:at])
            assert frame_parser.is_within_frame(connection)
            head = len(whole) - size
            assert frame_parser.unfinished_bytes(connection) == pytest.approx(max(0, at - head), abs=head)
            connection.receive_data(whole[at:])
        assert not frame_parser.is_within_frame(connection)
        assert frame_parser.unfinished_bytes(connection) == 0
        assert len(connection.events_received()) <= 1


def test_what_is_not_complete_can_be_forgotten() -> None:
    connection = Protocol(SERVER, state=OPEN)
    connection.receive_data(frame(b"x" * 1000)[:900])
    frame_parser.forget_unfinished(connection)
    assert frame_parser.unfinished_bytes(connection) == 0
