"""Which part of a history is asked for."""

from dataclasses import dataclass

from imc_contracts.fields import DEFAULT_PAGE_SIZE, INT64_MAX


@dataclass(frozen=True, slots=True)
class Window:
    """The ``size`` rows after the first ``offset`` ones of those from ``start`` to before ``end`` (ms)."""

    start: int = 0
    end: int = INT64_MAX
    offset: int = 0
    size: int = DEFAULT_PAGE_SIZE
    with_total: bool = True
    """Whether all rows between the times are to be counted."""
