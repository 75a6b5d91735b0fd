from hypothesis import given
from hypothesis import strategies as st
from imc_contracts.roster import Member, bounds_of, read_member

ids = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
members = st.builds(Member, ids, ids, ids, st.integers(0, 2**40))


@given(members)
def test_a_member_is_read_as_it_was_written(member: Member) -> None:
    assert read_member(member.encode()) == member


@given(members, members)
def test_members_sort_by_app_and_gateway(one: Member, other: Member) -> None:
    by_id = [(each.app_id.encode(), each.gateway_id.encode()) for each in (one, other)]
    if by_id[0] != by_id[1]:
        assert (one.encode() < other.encode()) == (by_id[0] < by_id[1])


@given(members, members)
def test_bounds_hold_what_is_of_an_app_or_gateway_and_nothing_else(one: Member, other: Member) -> None:
    low, high = bounds_of(one.app_id)
    assert (low < other.encode() < high) == (other.app_id == one.app_id)
    low, high = bounds_of(one.app_id, one.gateway_id)
    assert (low < other.encode() < high) == (other[:2] == one[:2])


def test_nothing_else_is_a_member() -> None:
    for encoded in (b"", b"a", b"a\0b\0c", b"a\0b\0c\0x", b"a\0b\0c\x001\0d", b"\xff"):
        assert read_member(encoded) is None
