"""Ids are unique and sort by time, whatever clock and lease do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imc_command_api.identity.snowflake import EPOCH_MS, LeaseOver, Snowflakes, time_of

BEGIN = 1_800_000_000_000


class Clock:
    def __init__(self, now: int = BEGIN) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def leased(clock: Clock, *, worker: int = 1, floor: int = 0, until: int = BEGIN + 10**9) -> Snowflakes:
    ids = Snowflakes(clock)
    ids.lease(worker, floor, until)
    return ids


def test_an_id_holds_its_time_and_worker():
    made = leased(Clock(), worker=5).next()
    assert time_of(made) == BEGIN
    assert (made >> 12) & 0x3FF == 5
    assert (made >> 22) + EPOCH_MS == BEGIN


@given(st.lists(st.integers(-5000, 5000), min_size=1, max_size=300))
def test_ids_grow_whatever_the_clock_does(steps: list[int]):
    clock = Clock()
    ids = leased(clock)
    made: list[int] = []
    for step in steps:
        clock.now += step
        made.append(ids.next())
    assert made == sorted(set(made))


def test_a_full_millisecond_goes_on_in_the_next():
    ids = leased(Clock())
    made = [ids.next() for _ in range(4097)]
    assert len(set(made)) == 4097
    assert time_of(made[-1]) == BEGIN + 1


def test_nothing_is_made_without_a_lease():
    with pytest.raises(LeaseOver):
        Snowflakes(Clock()).next()


def test_nothing_is_made_past_the_bound_of_the_lease():
    clock = Clock()
    ids = leased(clock, until=BEGIN + 1000)
    clock.now = BEGIN + 1001
    assert not ids.is_leased
    with pytest.raises(LeaseOver):
        ids.next()


def test_a_number_taken_over_begins_after_what_was_reserved_with_it():
    # The owner before had a clock that was ahead: its ids reach into our future.
    ids = leased(Clock(), floor=BEGIN + 5000)
    assert time_of(ids.next()) == BEGIN + 5000


def test_a_change_of_worker_never_goes_back_in_time():
    ids = leased(Clock(), worker=1)
    before = ids.next()
    ids.lease(2, 0, BEGIN + 10**9)
    assert ids.next() > before
