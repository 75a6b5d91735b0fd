"""A writer that would not see a loss proves nothing."""

import asyncio

import pytest
from imc_testkit.writing import Writer, writing


def after(*acknowledged: int, unknown: tuple[int, ...] = ()) -> Writer:
    async def write(number: int) -> None: ...

    writer = Writer(write, lambda _: False)
    writer.acknowledged.extend(acknowledged)
    writer.unknown.extend(unknown)
    return writer


@pytest.mark.parametrize("found", [[1, 2, 4], [1, 2, 3, 4]])
def test_what_is_unknown_may_be_there_or_not(found: list[int]) -> None:
    after(1, 2, 4, unknown=(3,)).assert_written(found)


@pytest.mark.parametrize(
    "found",
    [
        pytest.param([1, 4], id="lost"),
        pytest.param([1, 2, 4, 4], id="twice"),
        pytest.param([1, 2, 3, 3, 4], id="unknown, twice"),
        pytest.param([2, 1, 4], id="in another order"),
        pytest.param([1, 2, 4, 5], id="refused, and done"),
    ],
)
def test_a_fault_is_seen(found: list[int]) -> None:
    with pytest.raises(AssertionError):
        after(1, 2, 4, unknown=(3,)).assert_written(found)


async def test_it_knows_what_became_of_each_number() -> None:
    written: list[int] = []

    async def write(number: int) -> None:
        await asyncio.sleep(0)
        if number % 7 == 3:
            raise KeyError(number)
        written.append(number)
        if number % 7 == 5:
            raise OSError(number)

    async with writing(write, lambda error: isinstance(error, KeyError)) as writer:
        pass
    writer.assert_written(written)
    assert {number % 7 for number in writer.unknown} == {5}
    assert {error.args[0] % 7 for error in writer.refused} == {3}
    assert len(writer.acknowledged) >= 40
