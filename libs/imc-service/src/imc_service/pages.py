"""A page of a list that is too long for one reply."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Place = TypeVar("Place")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item, Place]):
    """Items, and the place after which the next page begins; None if this is the last one."""

    items: Sequence[Item]
    next: Place | None
