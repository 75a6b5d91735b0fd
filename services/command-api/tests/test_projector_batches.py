"""How a batch is cut into transactions, and how long is waited between attempts."""

import asyncio
from itertools import pairwise

import pytest
from imc_command_api.projector.patience import Backoff, patiently
from imc_command_api.projector.reader import Delivery
from imc_command_api.projector.writer import (
    TRANSACTION_BYTES,
    TRANSACTION_ENTRIES,
    Unreadable,
    transactions_of,
)
from imc_testkit.virtual_time import VirtualTimeLoop


def batch_of(sizes: list[int]) -> list[Unreadable]:
    return [
        Unreadable(Delivery("app", f"1-{number}".encode(), {b"v": b"x" * size}), "of no matter")
        for number, size in enumerate(sizes)
    ]


QUARTER = TRANSACTION_BYTES // 4


@pytest.mark.parametrize(
    ("sizes", "cut"),
    [
        ([1], [1]),
        ([1] * TRANSACTION_ENTRIES, [TRANSACTION_ENTRIES]),
        ([1] * (2 * TRANSACTION_ENTRIES + 1), [TRANSACTION_ENTRIES, TRANSACTION_ENTRIES, 1]),
        ([QUARTER] * 9, [4, 4, 1]),
        ([QUARTER] * 3 + [QUARTER + 1] + [QUARTER] * 3, [3, 3, 1]),
        ([TRANSACTION_BYTES + 1] * 3, [1, 1, 1]),
        ([1, TRANSACTION_BYTES + 1, 1], [1, 1, 1]),
    ],
    ids=["one", "as many as may be", "more", "bytes", "a byte too many", "too large", "one too large"],
)
def test_a_batch_is_cut_where_a_transaction_would_be_too_large(sizes: list[int], cut: list[int]):
    batch = batch_of(sizes)
    parts = list(transactions_of(batch))
    assert [len(part) for part in parts] == cut
    assert [entry for part in parts for entry in part] == batch


def test_pauses_double_up_to_two_seconds():
    """What comes back is found within them."""

    async def pauses() -> list[float]:
        loop, backoff = asyncio.get_running_loop(), Backoff()
        ends = [loop.time()]
        for _ in range(12):
            await backoff.pause()
            ends.append(loop.time())
        return [end - begin for begin, end in pairwise(ends)]

    longest = [min(0.05 * 2**number, 2.0) for number in range(12)]
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        for _ in range(50):
            for pause, most in zip(runner.run(pauses()), longest, strict=True):
                assert most / 2 - 1e-6 <= pause <= most + 1e-6


def test_what_is_an_outage_is_tried_again_and_what_is_none_is_raised():
    faults: list[Exception] = [OSError(), OSError(), ValueError()]
    retries = 0

    async def act() -> str:
        if faults:
            raise faults.pop(0)
        return "done"

    def note() -> None:
        nonlocal retries
        retries += 1

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        with pytest.raises(ValueError):
            runner.run(patiently(act, (OSError,), note))
        assert retries == 2
        assert runner.run(patiently(act, (OSError,), note)) == "done"
        assert retries == 2
