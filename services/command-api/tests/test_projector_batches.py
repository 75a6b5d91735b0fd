"""How a batch is cut into transactions."""

import pytest
from imc_command_api.projector.reader import Delivery
from imc_command_api.projector.writer import (
    TRANSACTION_BYTES,
    TRANSACTION_ENTRIES,
    Unreadable,
    transactions_of,
)


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
