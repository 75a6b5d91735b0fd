"""What is remembered of pushes, so that a log that has forked can be followed back."""

import pytest
from imc_contracts.cursor import Cursor, EntryId
from imc_push_node.stream import trail as trail_module
from imc_push_node.stream.trail import Trail


def ids(first: int, last: int) -> list[bytes]:
    return [b"%d-0" % number for number in range(first, last + 1)]


def at(number: int) -> Cursor:
    return Cursor("line", EntryId(number, 0))


def test_entries_are_forgotten_after_a_time_but_for_the_newest_of_before() -> None:
    trail = Trail()
    for number in range(1, 10, 3):
        trail.add(ids(number, number + 2), at=float(number))
    trail.forget(2.0)
    assert trail.ids == ids(3, 9)
    assert not trail.is_short
    for _ in range(2):
        trail.forget(100.0)
        assert trail.ids == ids(9, 9)
        assert trail.is_short
    trail.add(ids(10, 11), at=200.0)
    assert trail.ids == ids(9, 11)


def test_no_more_entries_are_kept_than_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail_module, "MOST_ENTRIES", 5)
    trail = Trail()
    for number in range(1, 20, 2):
        trail.add(ids(number, number + 1), at=0.0)
        assert len(trail.ids) <= 5
    assert trail.ids == ids(17, 20)
    trail.add(ids(21, 30), at=0.0)
    assert trail.ids == ids(21, 30), "the newest are kept, however many came at once"


def test_the_origin_of_each_fork_is_known_for_a_time() -> None:
    trail = Trail()
    trail.add(ids(1, 5), at=0.0)
    trail.go_back(b"3-0", at=10.0)
    assert trail.ids == ids(1, 3)
    trail.add(ids(6, 8), at=11.0)
    trail.go_back(b"6-0", at=20.0)
    assert [trail.origin_of(at(number)) for number in range(3, 9)] == [
        *(None, at(3), at(3), None),
        *(at(6), at(6)),
    ]
    trail.forget(15.0)
    assert [trail.origin_of(at(number)) for number in (4, 7)] == [None, at(6)]
    trail.clear()
    assert trail.origin_of(at(7)) is None
    assert trail.ids == []
    assert trail.is_short
