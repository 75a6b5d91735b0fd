import asyncio

import pytest
from imc_testkit.waiting import wait_until


async def test_a_true_answer_ends_the_wait_and_is_returned() -> None:
    answers = iter([0, None, "here"])
    assert await wait_until(lambda: next(answers), interval=0) == "here"


async def test_a_condition_may_be_a_coroutine_function() -> None:
    answers = iter([False, True])

    async def condition() -> bool:
        await asyncio.sleep(0)
        return next(answers)

    assert await wait_until(condition, interval=0) is True


async def test_what_never_comes_fails_in_time_and_says_what_it_was() -> None:
    number = len("sechs")
    async with asyncio.timeout(60):
        with pytest.raises(AssertionError, match=r"waited 0\.05 s for .*== 7.*its last value was False"):
            await wait_until(lambda: number == 7, 0.05)


async def test_a_condition_that_hangs_fails_in_time() -> None:
    with pytest.raises(AssertionError, match="for the moon; its last value was 'no answer'"):
        await wait_until(asyncio.Event().wait, 0.05, what="the moon")


async def test_what_the_condition_raises_passes_at_once() -> None:
    async def condition() -> bool:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        await wait_until(condition, 5)
