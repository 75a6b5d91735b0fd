"""What a stretch of a log proves of points, and of entries that were told."""

import pytest
from imc_contracts.cursor import UNBORN, Cursor, EntryId
from imc_push_node.stream.log_state import LogState, Stretch


def stretch(*places: int) -> Stretch:
    last = EntryId(places[-1], 0)
    return Stretch(
        state=LogState("a", EntryId(1, 0), last, 99),
        start=Cursor("a", EntryId(places[0], 0)),
        entry_ids=frozenset(EntryId(place, 0) for place in places),
        entries=[],
        end=Cursor("a", last),
        is_last=True,
        is_from_birth=False,
    )


@pytest.mark.parametrize(
    ("entry", "lacked"),
    [(3, False), (4, True), (5, False), (2, False), (9, False)],
    ids=["there", "missing between others", "the newest", "trimmed, perhaps", "beyond the end"],
)
def test_only_what_is_missing_between_others_is_certainly_not_there(entry: int, lacked: bool) -> None:
    assert stretch(3, 5).lacks(EntryId(entry, 0)) is lacked


OURS, ANOTHER = f"{UNBORN}ours", f"{UNBORN}another"
NAMED = LogState("a", EntryId(3, 0), EntryId(9, 0), 99, OURS)


@pytest.mark.parametrize(
    ("epoch", "at", "is_proven"),
    [
        ("a", 5, True),
        ("a", 6, False),
        ("a", 9, True),
        ("b", 5, False),
        (OURS, 2, True),
        (OURS, 3, True),
        (OURS, 4, False),
        (ANOTHER, 2, False),
    ],
    ids=[
        *("there", "not there", "the newest of all", "of another log"),
        *("before the birth", "in its moment", "after it", "before the birth of another log"),
    ],
)
@pytest.mark.parametrize("is_from_birth", [True, False])
def test_what_a_stretch_proves(epoch: str, at: int, is_proven: bool, is_from_birth: bool) -> None:
    places = frozenset(EntryId(place, 0) for place in (3, 5))
    read = Stretch(
        NAMED, Cursor(OURS, EntryId(2, 0)), places, [], Cursor("a", EntryId(5, 0)), False, is_from_birth
    )
    point = Cursor(epoch, EntryId(at, 0))
    assert read.proves(point) is (is_proven and (is_from_birth or not point.is_unborn))


def test_a_point_is_proven_by_the_entry_right_after_it() -> None:
    """It was trimmed itself, but nothing behind it."""
    assert stretch(4, 5).proves(Cursor("a", EntryId(4, 0)))
    places = frozenset([EntryId(4, 1), EntryId(5, 0)])
    end = Cursor("a", EntryId(5, 0))
    read = Stretch(NAMED, end, places, [], end, is_last=True, is_from_birth=False)
    assert read.proves(Cursor("a", EntryId(4, 0)))
    assert not read.proves(Cursor("a", EntryId(3, 9)))


def test_a_log_that_stays_unborn_proves_its_own_moments_alone() -> None:
    state = LogState(OURS, EntryId(0, 0), EntryId(0, 0), 99, OURS)
    read = Stretch(state, state.point, frozenset(), [], state.point, is_last=True, is_from_birth=False)
    assert read.proves(Cursor(OURS, EntryId(50, 0)))
    assert not read.proves(Cursor(ANOTHER, EntryId(50, 0)))
    assert not read.proves(Cursor("a", EntryId(50, 0)))
