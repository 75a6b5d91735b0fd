"""Ids are unique and sort by time, whatever clock and lease do."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imc_command_api.domain.ids import EPOCH_MS, time_of
from imc_command_api.handlers.ports import IdsUnavailable
from imc_command_api.identity.snowflake import Snowflakes, wall_clock_ms

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


def sequence_of(id_: int) -> int:
    return id_ & 0xFFF


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
    assert [time_of(id_) for id_ in made] == [BEGIN] * 4096 + [BEGIN + 1]
    assert [sequence_of(id_) for id_ in made] == [*range(4096), 0]


def test_nothing_is_made_without_a_lease():
    with pytest.raises(IdsUnavailable):
        Snowflakes(Clock()).next()


def test_nothing_is_made_past_the_bound_of_the_lease():
    clock = Clock()
    ids = leased(clock, until=BEGIN + 1000)
    clock.now = BEGIN + 1000
    assert ids.is_leased
    assert time_of(ids.next()) == BEGIN + 1000
    clock.now = BEGIN + 1001
    assert not ids.is_leased
    with pytest.raises(IdsUnavailable):
        ids.next()


def test_a_number_taken_over_begins_after_what_was_reserved_with_it():
    # The owner before had a clock that was ahead: its ids reach into our future.
    ids = leased(Clock(), floor=BEGIN + 5000)
    first = ids.next()
    assert (time_of(first), sequence_of(first)) == (BEGIN + 5000, 0)


def test_a_floor_above_what_was_made_is_kept_to_under_the_same_number():
    ids = leased(Clock(), worker=1)
    ids.next()
    ids.lease(1, BEGIN + 5000, BEGIN + 10**9)
    assert time_of(ids.next()) == BEGIN + 5000


@pytest.mark.parametrize("worker", [2, 7])
def test_a_change_of_worker_never_goes_back_in_time(worker: int):
    ids = leased(Clock(), worker=5)
    before = [ids.next() for _ in range(3)][-1]
    ids.lease(worker, 0, BEGIN + 10**9)
    after = ids.next()
    assert after > before
    assert (time_of(after), sequence_of(after)) == (BEGIN + 1, 0)


def test_a_renewal_moves_the_bound_alone():
    clock = Clock()
    ids = leased(clock, worker=5, until=BEGIN + 10)
    before = ids.next()
    ids.lease(5, 0, BEGIN + 20)
    assert ids.next() == before + 1
    clock.now = BEGIN + 20
    assert time_of(ids.next()) == BEGIN + 20


def test_the_clock_is_that_of_the_wall_in_milliseconds():
    before = int(time.time() * 1000)
    assert before - 1 <= wall_clock_ms() <= int(time.time() * 1000) + 1
