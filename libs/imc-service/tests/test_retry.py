"""How often and how soon what failed is done again."""

import asyncio
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any

import pytest
from imc_service.retry import Backoff
from imc_testkit.virtual_time import VirtualTimeLoop
from imc_testkit.waiting import wait_until


def in_virtual_time(work: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)


class Failing:
    """Fails with each of some faults, then succeeds."""

    def __init__(self, *faults: BaseException) -> None:
        self.faults = list(faults)
        self.begun: list[float] = []

    async def act(self) -> str:
        self.begun.append(asyncio.get_running_loop().time())
        if self.faults:
            raise self.faults.pop(0)
        return "done"


LONGEST = [min(0.05 * 2**number, 2.0) for number in range(12)]


def are_within_bounds(pauses: list[float]) -> bool:
    return all(most / 2 - 1e-6 <= pause <= most + 1e-6 for pause, most in zip(pauses, LONGEST, strict=True))


def test_pauses_double_up_to_two_seconds() -> None:
    """What comes back is found within them."""
    for _ in range(50):
        failing = Failing(*(OSError() for _ in range(12)))
        assert in_virtual_time(Backoff().retry(failing.act, OSError)) == "done"
        assert are_within_bounds([end - begin for begin, end in pairwise(failing.begun)])


def test_a_loop_of_its_own_pauses_as_long() -> None:
    async def pauses() -> list[float]:
        loop = asyncio.get_running_loop()
        ends = [loop.time()]
        for failures in range(1, 13):
            await Backoff().pause(failures)
            ends.append(loop.time())
        return [end - begin for begin, end in pairwise(ends)]

    for _ in range(50):
        assert are_within_bounds(in_virtual_time(pauses()))


def test_the_first_pause_is_the_shortest_if_no_number_is_given() -> None:
    async def pause() -> float:
        await Backoff().pause()
        return asyncio.get_running_loop().time()

    assert max(in_virtual_time(pause()) for _ in range(50)) <= LONGEST[0] + 1e-6


def test_a_pause_is_bounded_after_any_number_of_failures() -> None:
    assert Backoff(0.5, 0.5).after(10**9) <= 0.5


def test_what_is_an_outage_is_tried_again_and_what_is_none_is_raised() -> None:
    failing, retries = Failing(OSError(), TimeoutError(), ValueError("no outage")), list[None]()

    def note() -> None:
        retries.append(None)

    with pytest.raises(ValueError, match="no outage"):
        in_virtual_time(Backoff().retry(failing.act, (OSError, TimeoutError), on_retry=note))
    assert len(retries) == 2
    assert in_virtual_time(Backoff().retry(failing.act, OSError, on_retry=note)) == "done"
    assert len(retries) == 2


@pytest.mark.parametrize("fault", [asyncio.CancelledError(), KeyboardInterrupt()])
def test_what_ends_the_task_is_never_tried_again(fault: BaseException) -> None:
    failing = Failing(OSError(), fault)
    with pytest.raises(type(fault)):
        in_virtual_time(Backoff().retry(failing.act, Exception))
    assert len(failing.begun) == 2


async def test_a_retry_can_be_cancelled_in_its_pause() -> None:
    failing = Failing(*(OSError() for _ in range(9)))
    retrying = asyncio.create_task(Backoff(60, 60).retry(failing.act, OSError))
    await wait_until(lambda: failing.begun)
    retrying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await retrying
    assert len(failing.begun) == 1


async def test_an_action_may_be_any_function_that_returns_an_awaitable() -> None:
    failing = Failing(OSError(), OSError())
    assert await Backoff(0.001, 0.001).retry(lambda: failing.act(), OSError) == "done"
