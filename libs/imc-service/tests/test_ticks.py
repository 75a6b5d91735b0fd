"""When periodic work of a process wakes it up."""

import asyncio

import pytest
from imc_service import ticks

TICK = ticks.TICK_SECONDS


def at(now: float, seconds: float, monkeypatch: pytest.MonkeyPatch) -> float:
    """The pause at the time ``now``."""

    async def pause() -> float:
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
        return ticks.pause(seconds)

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner, monkeypatch.context():
        return runner.run(pause())


@pytest.mark.parametrize("seconds", [TICK, 0.4, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("now", [0.0, 0.001, 7.1, 7.25, 7.4999, 86_400.3])
def test_all_pauses_end_at_ticks_a_little_early(
    now: float, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause = at(now, seconds, monkeypatch)
    assert max(0.0, seconds - TICK) < pause <= seconds + 1e-9
    assert (now + pause) / TICK == pytest.approx(round((now + pause) / TICK))


def test_work_that_takes_a_moment_keeps_its_period(monkeypatch: pytest.MonkeyPatch) -> None:
    assert at(10.02, 1.0, monkeypatch) == pytest.approx(0.98)


def test_pauses_shorter_than_a_tick_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert at(7.1, 0.01, monkeypatch) == 0.01
