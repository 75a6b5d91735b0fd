"""What readiness concludes from attempts to store rows."""

import asyncio

import pytest
from imc_command_api.store import attempts
from imc_command_api.store.attempts import Attempts
from imc_service.database.database import Refusal, StatementRefused, StoreUnavailable


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(attempts, "time", clock)
    return clock


def attempt(judge: Attempts, error: BaseException | None = None, row: int | None = None) -> None:
    try:
        with judge.noted(row):
            if error is not None:
                raise error
    except (StoreUnavailable, StatementRefused, asyncio.CancelledError):
        pass


AWAY = StoreUnavailable("1290 read-only")
REFUSED = StatementRefused("1644 never", Refusal.TRIGGER)


def test_failures_count_once_they_last(clock: Clock) -> None:
    judge = Attempts()
    attempt(judge, AWAY)
    clock.now += 1.5
    assert judge.trouble() is None, "one may be a lost deadlock"
    attempt(judge, AWAY)
    assert judge.trouble() == "1290 read-only"
    attempt(judge)
    assert judge.trouble() is None


def test_failures_that_nobody_repeats_are_forgotten(clock: Clock) -> None:
    judge = Attempts()
    for _ in range(2):
        attempt(judge, AWAY)
        clock.now += 1.5
    assert judge.trouble() is not None
    clock.now += attempts.RECENT_SECONDS
    assert judge.trouble() is None


def test_one_that_is_cut_off_has_had_no_answer(clock: Clock) -> None:
    judge = Attempts()
    for _ in range(2):
        attempt(judge, asyncio.CancelledError())
        clock.now += 1.5
    assert judge.trouble() == "no answer in time"


def test_one_that_does_not_end_is_told_while_it_lasts(clock: Clock) -> None:
    judge = Attempts()
    with judge.noted(None):
        clock.now += attempts.HUNG_SECONDS
        assert judge.trouble() is None
        attempt(judge)
        clock.now += 0.1
        assert judge.trouble() == "a transaction has not ended for 3 s"
    assert judge.trouble() is None


def test_a_row_at_fault_is_no_trouble_and_many_in_a_row_are(clock: Clock) -> None:
    judge = Attempts()
    for _ in range(50):
        attempt(judge, REFUSED, 1)
        attempt(judge, REFUSED)
    for row in range(2, attempts.REFUSED_ROWS):
        attempt(judge, REFUSED, row)
    assert judge.trouble() is None
    attempt(judge, REFUSED, attempts.REFUSED_ROWS)
    assert judge.trouble() == "one row after the other is refused: 1644 never"
    attempt(judge)
    assert judge.trouble() is None
