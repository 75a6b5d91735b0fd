"""What the handlers need of the world, each port with what it promises."""

from collections.abc import Sequence
from typing import Protocol

from imc_contracts.errors import Refused
from imc_contracts.events import Entry
from imc_contracts.views import Message, Notice

from imc_command_api.log.writes import Outcome, Write

Apps = frozenset[str] | None
"""The apps in which something is looked for, or None for all."""


class Ids(Protocol):
    """Makes ids that no other process makes."""

    def next(self) -> int:
        """A new id, greater than all before; raises `LeaseOver` when none can be made now."""
        ...


class Log(Protocol):
    """The log of each app."""

    async def append(self, app_id: str, writes: Sequence[Write]) -> list[Outcome | Refused]:
        """Append in the given order; an outcome or a refusal for each."""
        ...

    async def append_one(self, app_id: str, write: Write) -> Outcome:
        """Append one event; raises `Refused` if that can't be done."""
        ...


class Originals(Protocol):
    """Finds what a recall or a deletion is about: from the moment it was acknowledged, in log or database."""

    async def message(self, message_id: int, apps: Apps) -> Message:
        """The message, if it is of one of ``apps``: one of another app is as absent as one that never was.

        Raises `Refused`: not found, recalled already, or log or database out of reach.
        """
        ...

    async def notice(self, information_id: int, apps: Apps) -> Notice:
        """The notice; raises as `message` does."""
        ...


class Door(Protocol):
    """Where an app that is known to be over its quota is turned away."""

    def require(self, app_id: str) -> None:
        """Raise `Refused` if it is: before ids and encoding, which it would have for nothing."""
        ...


class WriteThrough(Protocol):
    """Makes an appended event readable before its command is acknowledged, if the database is up."""

    async def __call__(self, app_id: str, entry: Entry) -> None:
        """Apply the event. Never raises: the log has it, and the projector applies it in any case."""
        ...
