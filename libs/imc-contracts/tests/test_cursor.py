import pytest
from hypothesis import given
from hypothesis import strategies as st
from imc_contracts.cursor import ORIGIN, UNBORN, Cursor, EntryId

entry_ids = st.builds(EntryId, st.integers(0, 10**13 - 1), st.integers(0, 10**10 - 1))
epochs = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=32)


@given(entry_ids)
def test_an_entry_id_reads_what_it_writes(entry: EntryId) -> None:
    assert EntryId.parse(str(entry)) == entry
    assert EntryId.parse(str(entry).encode()) == entry
    assert EntryId.from_column(entry.column) == entry
    assert len(entry.column) == 20


@given(entry_ids, entry_ids)
def test_columns_sort_as_the_log_does(one: EntryId, other: EntryId) -> None:
    assert (one < other) == (one.column < other.column)
    assert (one == other) == (one.column == other.column)


@given(entry_ids.filter(lambda entry: entry != ORIGIN))
def test_no_id_lies_between_one_and_its_neighbour(entry: EntryId) -> None:
    assert entry.preceding < entry
    assert entry.preceding.following == entry
    assert EntryId.parse(str(entry.preceding)) == entry.preceding
    ms_apart, seq_apart = entry.ms - entry.preceding.ms, entry.seq - entry.preceding.seq
    assert (ms_apart, seq_apart) == (0, 1) or (ms_apart, entry.seq, seq_apart) == (1, 0, 1 - 10**10)


@given(epochs, entry_ids)
def test_a_cursor_reads_what_it_writes(epoch: str, entry: EntryId) -> None:
    cursor = Cursor(epoch, entry)
    assert Cursor.parse(str(cursor)) == cursor


def test_known_texts() -> None:
    entry = EntryId(1_789_000_000_123, 7)
    assert str(entry) == "1789000000123-7"
    assert entry.column == "1a088b5a27b000000007"
    assert str(Cursor("k3v", entry)) == "k3v.1789000000123-7"
    assert str(Cursor(UNBORN, ORIGIN)) == "u.0-0"
    assert EntryId(0, 1) > ORIGIN


@pytest.mark.parametrize(
    "text",
    [
        *["", "-", "1", "1-", "-1", "1-1-1", "1-x", "x-1", " 1-1", "1-1 ", "1-1\n", "+1-1", "１-1", "1.0-1"],
        *["*", "$", ">", "0x1-1", "1_0-1", "10000000000000-0", "0-10000000000"],
    ],
)
def test_what_is_no_entry_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an id of a log entry"):
        EntryId.parse(text)
    with pytest.raises(ValueError, match="not an id of a log entry"):
        EntryId.parse(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a",
        "a.",
        ".1-1",
        "a.1",
        "a.1-1 ",
        "a.1-1\n",
        "A.1-1",
        "a.b.1-1",
        "é.1-1",
        f"{'a' * 33}.1-1",
        "a.x-1",
    ],
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        Cursor.parse(text)


@given(st.text("az.-019 \n"))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    try:
        cursor = Cursor.parse(text)
    except ValueError:
        return
    assert (cursor.epoch, EntryId.parse(text.partition(".")[2])) == (text.partition(".")[0], cursor.entry)


def test_bytes_beyond_ascii_are_refused() -> None:
    with pytest.raises(ValueError, match="not an id"):
        EntryId.parse(b"\xff-1")
