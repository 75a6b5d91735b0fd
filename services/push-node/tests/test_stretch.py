"""What a stretch of a log proves of points, and of entries that were told."""

import pytest
from imc_contracts.cursor import Cursor, EntryId
from imc_push_node.log_state import LogState, Stretch


def stretch(*places: int) -> Stretch:
    last = EntryId(places[-1], 0)
    return Stretch(
        state=LogState("a", EntryId(1, 0), last, 99),
        start=Cursor("a", EntryId(places[0], 0)),
        places=frozenset(EntryId(place, 0) for place in places),
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
