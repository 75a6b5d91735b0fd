from imc_contracts.cursor import Cursor, EntryId
from imc_push_node.gateway.gateway import Amount
from imc_push_node.gateway.push_format import PushFormat
from imc_push_node.stream.framed_entries import Pushes
from imc_push_node.stream.replay_buffer import REPLAY_BUFFER_BYTES, Broadcast, ReplayBuffer


def at(number: int) -> Cursor:
    return Cursor("line", EntryId(number, 0))


def broadcast(number: int, size: int = 1, formats: tuple[PushFormat, ...] = (PushFormat.V1,)) -> Broadcast:
    pushes = Pushes(b"%d" % number, 1, Amount(1, size))
    return Broadcast(at(number), at(number + 1), dict.fromkeys(formats, pushes), 1, size, float(number))


def after(
    replay_buffer: ReplayBuffer, position: Cursor, push_format: PushFormat = PushFormat.V1
) -> list[tuple[Cursor, bytes]]:
    return [(end, pushes.frames) for end, pushes in replay_buffer.after(position, push_format)]


def test_what_followed_a_position() -> None:
    replay_buffer = ReplayBuffer()
    for number in range(5):
        replay_buffer.append(broadcast(number))
    assert after(replay_buffer, at(2)) == [(at(3), b"2"), (at(4), b"3"), (at(5), b"4")]
    assert after(replay_buffer, at(5)) == []
    assert after(replay_buffer, Cursor("other", EntryId(2, 0))) == []


def test_a_format_ends_where_no_gateway_got_it() -> None:
    replay_buffer = ReplayBuffer()
    both = PushFormat.V1, PushFormat.JAVA
    for number, formats in enumerate((both, both, (PushFormat.V1,), both)):
        replay_buffer.append(broadcast(number, formats=formats))
    assert after(replay_buffer, at(0), PushFormat.JAVA) == [(at(1), b"0"), (at(2), b"1")]
    assert not replay_buffer.holds_after(at(2), PushFormat.JAVA)
    assert replay_buffer.holds_after(at(2), PushFormat.V1)
    assert after(replay_buffer, at(3), PushFormat.JAVA) == [(at(4), b"3")]


def test_what_nobody_got_is_not_bridged() -> None:
    replay_buffer = ReplayBuffer()
    for number, formats in enumerate(((PushFormat.V1,), (), (PushFormat.V1,))):
        replay_buffer.append(broadcast(number, formats=formats))
    assert after(replay_buffer, at(0)) == []
    assert after(replay_buffer, at(2)) == [(at(3), b"2")]


def test_what_is_too_old_is_forgotten() -> None:
    replay_buffer = ReplayBuffer()
    for number in range(5):
        replay_buffer.append(broadcast(number))
    replay_buffer.forget(before=3.0)
    assert after(replay_buffer, at(2)) == []
    assert after(replay_buffer, at(3)) == [(at(4), b"3"), (at(5), b"4")]


def test_it_is_bounded() -> None:
    replay_buffer = ReplayBuffer()
    for number in range(5):
        replay_buffer.append(broadcast(number, REPLAY_BUFFER_BYTES // 3))
    assert after(replay_buffer, at(1)) == []
    assert after(replay_buffer, at(2)) == [(at(3), b"2"), (at(4), b"3"), (at(5), b"4")]


def test_nothing_is_left_once_it_is_cleared() -> None:
    replay_buffer = ReplayBuffer()
    replay_buffer.append(broadcast(0))
    replay_buffer.clear()
    replay_buffer.append(broadcast(1))
    assert after(replay_buffer, at(0)) == []
    assert after(replay_buffer, at(1)) == [(at(2), b"1")]
