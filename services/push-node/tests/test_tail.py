from imc_contracts.cursor import Cursor, EntryId
from imc_push_node.tail import TAIL_BYTES, Tail, Told


def at(number: int) -> Cursor:
    return Cursor("line", EntryId(number, 0))


def told(number: int, size: int = 1) -> Told:
    frames = b"x" * size
    return Told(at(number), at(number + 1), frames, frames, 1, 1, float(number))


def test_what_followed_a_point() -> None:
    tail = Tail()
    for number in range(5):
        tail.append(told(number))
    assert [each.start for each in tail.after(at(2))] == [at(2), at(3), at(4)]
    assert list(tail.after(at(5))) == []
    assert list(tail.after(Cursor("other", EntryId(2, 0)))) == []


def test_what_is_too_old_is_forgotten() -> None:
    tail = Tail()
    for number in range(5):
        tail.append(told(number))
    tail.forget(before=3.0)
    assert list(tail.after(at(2))) == []
    assert [each.start for each in tail.after(at(3))] == [at(3), at(4)]


def test_it_is_bounded() -> None:
    tail = Tail()
    for number in range(5):
        tail.append(told(number, TAIL_BYTES // 3))
    assert list(tail.after(at(1))) == []
    assert [each.start for each in tail.after(at(2))] == [at(2), at(3), at(4)]


def test_nothing_is_left_once_it_is_cleared() -> None:
    tail = Tail()
    tail.append(told(0))
    tail.clear()
    tail.append(told(1))
    assert list(tail.after(at(0))) == []
    assert [each.start for each in tail.after(at(1))] == [at(1)]
