"""Listing what comes in pages."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from imc_gateway.calls import Call

from imc_cli.connection import Connection
from imc_cli.operating import Listing

T = TypeVar("T", bound=Mapping[str, Any])

LARGEST = 500


def listed(
    connection: Connection,
    page_after: Callable[[str | None, int], Call[Listing[T]]],
    limit: int,
    everything: bool,
) -> list[T]:
    """The first ``limit`` items, or ``everything``. ``page_after`` makes the call for a page of a size."""
    size, after, found = LARGEST if everything else limit, None, list[T]()
    while True:
        page = connection.call(page_after(after, size))
        found += page.items
        if not everything or page.next is None:
            return found
        after = page.next
