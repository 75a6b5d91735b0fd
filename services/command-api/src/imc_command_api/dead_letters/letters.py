"""The dead letters of all apps.

A letter is an entry of a log, its fields as they were, with ``id`` (its id in the log), ``reason`` and
``time`` beside them. No method shows a body: it is what users wrote.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import cast

from imc_contracts import names
from imc_contracts.events import KIND_FIELD, read_entry
from imc_service.redis.masters import Masters

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

    def __init__(self, masters: Masters, projection: Projection) -> None:
        self._masters = masters
        self._projection = projection

    async def all(self, app_id: str | None = None) -> AsyncGenerator[Letter]:
        """Every letter, of one app or of all, the oldest first in each."""
        for app in [app_id] if app_id else await self.apps():
            after = None
            while letters := await self.some(app, after):
                for letter in letters:
                    yield letter
                after = letters[-1].id

    async def some(self, app_id: str, after: str | None) -> list[Letter]:
        """The next letters of an app after one of them, or the oldest ones; at most `PAGE`."""
        start = "-" if after is None else f"({after}"
        rows = await self._read(names.dead_letters(app_id), start, "+", PAGE)
        return [Letter(app_id, letter_id.decode(), fields) for letter_id, fields in rows]

    async def one(self, app_id: str, letter_id: str) -> Letter | None:
        """A letter, if it is there."""
        rows = await self._read(names.dead_letters(app_id), letter_id, letter_id, 1)
        return Letter(app_id, letter_id, rows[0][1]) if rows else None

    async def replay(self, letter: Letter) -> None:
        """Project the entry as if it came from the log now, then drop the letter.

        Raises `MalformedEvent`, `StatementRefused` or `StoreUnavailable`: then the letter stays.
        """
        entry = read_entry(letter.entry_id, letter.fields)
        await self._projection.apply([PlacedEntry(letter.app_id, entry)], {letter.app_id})
        await self.drop(letter)

    async def drop(self, letter: Letter) -> None:
        """Delete the letter. Its content is lost, unless its row exists."""
        key = names.dead_letters(letter.app_id)
        await self._masters.run(key, lambda redis: redis.xdel(key, letter.id))

    async def _read(self, key: str, start: str, end: str, count: int) -> _Rows:
        return cast(_Rows, await self._masters.run(key, lambda redis: redis.xrange(key, start, end, count)))

    async def apps(self) -> list[str]:
        """All apps that have a log, in order."""
        await self._masters.look_for_masters()
        found: list[str] = []
        for redis, keys in self._masters.by_master(names.apps(shard) for shard in range(names.SHARDS)):
            pipeline = redis.pipeline(transaction=False)
            for key in keys:
                pipeline.zrange(key, 0, -1)  # pyright: ignore[reportUnknownMemberType]
            for apps in cast("list[list[bytes]]", await pipeline.execute()):
                found += (app.decode() for app in apps)
        return sorted(found)
