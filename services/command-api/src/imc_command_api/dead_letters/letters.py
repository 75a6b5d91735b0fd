"""The dead letters of all apps.

A letter is an entry of a log, its fields as they were, with ``id`` (its id in the log), ``reason`` and
``time`` beside them. No method shows a body: it is what users wrote.
"""

from collections.abc import AsyncGenerator, Awaitable
from dataclasses import dataclass
from typing import cast

from imc_contracts import names
from imc_contracts.events import KIND_FIELD, read_entry
from redis.asyncio import Redis

from imc_command_api.store.projection import PlacedEntry, Projection

PAGE = 100

_Rows = list[tuple[bytes, dict[bytes, bytes]]]


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter. ``time_ms``: when it was dead-lettered, in Unix milliseconds."""

    app_id: str
    id: str
    fields: dict[bytes, bytes]

    @property
    def entry_id(self) -> str:
        """The id that the entry had in the log."""
        return self._text(b"id")

    @property
    def kind(self) -> str:
        """The kind of its event, as the log spells it."""
        return self._text(KIND_FIELD)

    @property
    def reason(self) -> str:
        """Why it could not be projected."""
        return self._text(b"reason")

    @property
    def time_ms(self) -> int:
        """When it was dead-lettered, in Unix milliseconds."""
        return int(self._text(b"time") or 0)

    def _text(self, field: bytes) -> str:
        return self.fields.get(field, b"").decode("utf-8", "backslashreplace")


class DeadLetters:
    """Reads dead letters from Redis, and writes those that are replayed to the database."""

    def __init__(self, redis: Redis, projection: Projection) -> None:
        self._redis = redis
        self._projection = projection

    async def all(self, app_id: str | None = None) -> AsyncGenerator[Letter]:
        """Every letter, of one app or of all, the oldest first in each."""
        for app in [app_id] if app_id else await self._apps():
            start = "-"
            while True:
                reply = await self._redis.xrange(names.dead_letters(app), start, "+", PAGE)
                rows = cast(_Rows, reply)
                for letter_id, fields in rows:
                    yield Letter(app, letter_id.decode(), fields)
                if len(rows) < PAGE:
                    break
                start = f"({rows[-1][0].decode()}"

    async def replay(self, letter: Letter) -> None:
        """Project the entry as if it came from the log now, then drop the letter.

        Raises `MalformedEvent`, `StatementRefused` or `StoreUnavailable`: then the letter stays.
        """
        entry = read_entry(letter.entry_id, letter.fields)
        await self._projection.apply([PlacedEntry(letter.app_id, entry)])
        await self.drop(letter)

    async def drop(self, letter: Letter) -> None:
        """Delete the letter. Its content is lost, unless its row exists."""
        await self._redis.xdel(names.dead_letters(letter.app_id), letter.id)

    async def _apps(self) -> list[str]:
        members = await cast("Awaitable[set[bytes]]", self._redis.smembers(names.APPS))
        return sorted(app.decode() for app in members)
