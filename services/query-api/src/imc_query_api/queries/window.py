"""The requested part of a history."""

from dataclasses import dataclass

from imc_contracts.fields import DEFAULT_PAGE_SIZE, INT64_MAX


@dataclass(frozen=True, slots=True)
class Window:
    """Rows from ``start`` to ``end`` (exclusive, in ms): skip ``offset`` of them, then take ``size``."""

    start: int = 0
    end: int = INT64_MAX
    offset: int = 0
    size: int = DEFAULT_PAGE_SIZE
    with_total: bool = True
    """Whether to count all rows between the times."""
