from imc_contracts.cursor import Cursor, EntryId
from imc_push_node.stream.replay_buffer import REPLAY_BUFFER_BYTES, Broadcast, ReplayBuffer


def at(number: int) -> Cursor:
    return Cursor("line", EntryId(number, 0))


def told(number: int, size: int = 1) -> Broadcast:
    frames = b"x" * size
    return Broadcast(at(number), at(number + 1), frames, frames, 1, 1, float(number))


def test_what_followed_a_point() -> None:
    replay_buffer = ReplayBuffer()
    for number in range(5):
        replay_buffer.append(told(number))
    assert [each.start for each in replay_buffer.after(at(2))] == [at(2), at(3), at(4)]
    assert list(replay_buffer.after(at(5))) == []
    assert list(replay_buffer.after(Cursor("other", EntryId(2, 0)))) == []


def test_what_is_too_old_is_forgotten() -> None:
    replay_buffer = ReplayBuffer()
    for number in range(5):
        replay_buffer.append(told(number))
    replay_buffer.forget(before=3.0)
    assert list(replay_buffer.after(at(2))) == []
    assert [each.start for each in replay_buffer.after(at(3))] == [at(3), at(4)]


def test_it_is_bounded() -> None:
    replay_buffer = ReplayBuffer()
    for number in range(5):
        replay_buffer.append(told(number, REPLAY_BUFFER_BYTES // 3))
    assert list(replay_buffer.after(at(1))) == []
    assert [each.start for each in replay_buffer.after(at(2))] == [at(2), at(3), at(4)]


def test_nothing_is_left_once_it_is_cleared() -> None:
    replay_buffer = ReplayBuffer()
    replay_buffer.append(told(0))
    replay_buffer.clear()
    replay_buffer.append(told(1))
    assert list(replay_buffer.after(at(0))) == []
    assert [each.start for each in replay_buffer.after(at(1))] == [at(1)]
