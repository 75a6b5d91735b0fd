"""The keys that tokens may be signed with."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused

Header = dict[str, Any]
"""The header of a token, of which nothing is proven yet."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key for one algorithm. What a token says of its algorithm is compared with this, never believed."""

    value: Any = field(repr=False)
    algorithm: str


class Keys(Protocol):
    """Where the keys of one issuer are."""

    async def find(self, header: Header) -> list[Key]:
        """The keys that may have signed a token with this header.

        Raises `Refused`: `UNAUTHENTICATED` if there is none, `UNAVAILABLE` if that can't be told now.
        """
        ...


def invalid(reason: str) -> Refused:
    """The refusal of a token; ``reason`` repeats nothing of it."""
    return Refused(ErrorCode.UNAUTHENTICATED, reason)
