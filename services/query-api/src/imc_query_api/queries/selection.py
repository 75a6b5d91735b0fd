"""What a query of history asks for: whose rows, and which of them."""

from dataclasses import dataclass
from typing import NamedTuple

from imc_contracts.fields import INT64_MAX
from imc_service.database.database import Values


class Owner(NamedTuple):
    """Whose rows are asked for: those of a group, of a user, or of a user in a group.

    An export may ask for all of an app.
    """

    app_id: str
    group_id: str | None = None
    user_id: str | None = None

    @property
    def is_app(self) -> bool:
        """Whether these are all rows of the app, which no `columns` select."""
        return self.group_id is None and self.user_id is None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that select the rows, in the order of the index that is read."""
        if self.user_id is None:
            return ("app_id", "group_id")
        return ("app_id", "user_id") if self.group_id is None else ("app_id", "user_id", "group_id")

    @property
    def values(self) -> Values:
        """The values of `columns`."""
        return [getattr(self, column) for column in self.columns]


@dataclass(frozen=True, slots=True)
class Times:
    """From ``start`` to ``end`` (exclusive), in Unix milliseconds."""

    start: int = 0
    end: int = INT64_MAX


ALL_TIMES = Times()


@dataclass(frozen=True, slots=True)
class Window:
    """A page by its number: of the rows between ``times``, skip ``offset``, then take ``size``."""

    size: int
    offset: int = 0
    times: Times = ALL_TIMES


@dataclass(frozen=True, slots=True)
class Keyset:
    """A page by an id: of the rows between ``times``, the ``limit`` nearest to the row with that id.

    These are the rows before the id ``before``, or after the id ``after``, or the newest if both are None.
    """

    limit: int
    before: int | None = None
    after: int | None = None
    times: Times = ALL_TIMES
