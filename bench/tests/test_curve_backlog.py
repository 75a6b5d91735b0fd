from imc_bench.http.log_check import Acknowledged
from imc_bench.store.curve_backlog import by_size, checksums_of

SIZES = (0, 1_000, 10_000, 100_000)


def test_rates_of_a_drain_are_grouped_by_the_nearest_size() -> None:
    seen = [(0.0, 100_000), (1.0, 60_000), (2.0, 12_000), (4.0, 8_000), (5.0, 2_000), (6.0, 0)]
    rates = by_size(seen, SIZES)
    assert {size: rate.median for size, rate in rates.items()} == {
        0: 2_000,
        1_000: 6_000,
        10_000: (48_000 + 2_000) / 2,
        100_000: 40_000,
    }


def test_small_steps_are_combined() -> None:
    seen = [(0.0, 3_000), (1.0, 2_500), (2.0, 900), (3.0, 0)]
    assert {size: rate.median for size, rate in by_size(seen, SIZES).items()} == {0: 900, 1_000: 1_050}


def test_checksums_change_with_every_fault() -> None:
    acknowledged = [Acknowledged(str(number), f"1-{number}", "") for number in range(5)]
    right = checksums_of(acknowledged)
    assert right == checksums_of(acknowledged[::-1])
    moved = Acknowledged("4", "1-3", "")
    for wrong in (acknowledged[1:], [*acknowledged, acknowledged[0]], [*acknowledged[:4], moved]):
        assert checksums_of(wrong) != right
