"""The keys that tokens may be signed with."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused

Header = dict[str, Any]
"""The header of a token, which is not verified yet."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key for one algorithm. The algorithm that a token names must be this one."""

    value: Any = field(repr=False)
    algorithm: str


class Keys(Protocol):
    """The keys of one issuer."""

    async def find(self, header: Header) -> list[Key]:
        """The keys that may have signed a token with this header.

        Raises `Refused`: `UNAUTHENTICATED` if there is none, `UNAVAILABLE` if that can't be known now.
        """
        ...


def invalid(reason: str) -> Refused:
    """The refusal of a token. ``reason`` must not repeat any part of it."""
    return Refused(ErrorCode.UNAUTHENTICATED, reason)
