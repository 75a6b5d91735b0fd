"""Tests rounds, medians and percentiles, and the measurement of CPU time and memory."""

import mmap
import os
import time

import pytest
from imc_bench import cores, cpu, machine, rounds
from imc_bench.rows import Spread


async def test_contenders_take_turns():
    turns: list[str] = []

    def contender(name: str) -> rounds.Measure:
        async def measure() -> dict[str, float]:
            turns.append(name)
            return {"turn": len(turns)}

        return measure

    found = await rounds.alternate({"a": contender("a"), "b": contender("b")}, 3)
    assert turns == ["a", "b"] * 4
    assert found == {"a": {"turn": [3, 5, 7]}, "b": {"turn": [4, 6, 8]}}, (
        "the values of the warm-up are discarded"
    )


def test_a_spread_has_median_minimum_and_maximum():
    assert rounds.spread([5, 1, 9, 2, 3], "s") == Spread(3, 1, 9, "s")
    with pytest.raises(ValueError, match="round"):
        rounds.spread([], "s")


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100)])
def test_a_percentile_is_the_nearest_rank(share: float, value: int):
    assert rounds.percentile(reversed(range(1, 101)), share) == value
    assert rounds.percentile([7], share) == 7


def test_cpu_time_is_that_of_the_process():
    before = cpu.cpu_seconds(os.getpid())
    began = time.process_time()
    while time.process_time() < began + 0.1:
        pass
    assert 0.09 < cpu.cpu_seconds(os.getpid()) - before < 0.3


def test_memory_is_counted_in_bytes():
    before = cpu.resident_bytes(os.getpid())
    # A separate mapping: the allocator could reuse pages that earlier tests freed.
    with mmap.mmap(-1, 20_000_000) as held:
        held.write(b"1" * 20_000_000)
        assert 15_000_000 < cpu.resident_bytes(os.getpid()) - before < 40_000_000


def test_server_and_load_have_a_core_each():
    # Bypass the cache: earlier tests may have pinned this process.
    chosen = cores.choose.__wrapped__()
    assert {chosen.server, chosen.load} <= set(range(os.cpu_count() or 1))
    assert (chosen.server != chosen.load) == (len(os.sched_getaffinity(0)) > 1)


def test_the_machine_is_described():
    assert "Python 3." in machine.describe()
