"""Dead letters for operators: page after page, and chosen ones replayed or dropped."""

import contextlib
from collections.abc import AsyncGenerator, Collection, Sequence
from typing import NamedTuple

from imc_contracts import names
from imc_contracts.events import EventKind, MalformedEvent
from imc_contracts.operator_views import DeadLetter, LetterNotDone, LettersDone
from imc_service.database.database import StatementRefused, StoreUnavailable
from imc_service.pages import Page
from imc_service.redis.masters import Masters

from imc_command_api.dead_letters.letters import DeadLetters, Letter

APPS_AT_ONCE = 500
"""How many apps are asked in one round trip whether they have letters."""

KINDS = {
    EventKind.MESSAGE_SENT: "send",
    EventKind.MESSAGE_RECALLED: "recall",
    EventKind.NOTICE_PUBLISHED: "notice",
    EventKind.NOTICE_DELETED: "deletion",
    EventKind.ERASURE: "erasure",
}


class Place(NamedTuple):
    """The place of a letter in the list of all. Letters of an app come in the order of their stream."""

    app_id: str
    letter_id: str


class LetterPages:
    """Reads and mends. Raises what redis-py raises."""

    def __init__(self, masters: Masters, letters: DeadLetters) -> None:
        self._masters = masters
        self._letters = letters

    async def page(
        self, among: Collection[str] | None, after: Place | None, limit: int
    ) -> Page[DeadLetter, Place]:
        """At most ``limit`` letters after a place: of some apps, or of all if that is None."""
        app_ids = await self._letters.apps() if among is None else sorted(among)
        if after is not None:
            app_ids = [app_id for app_id in app_ids if app_id >= after.app_id]
        found: list[DeadLetter] = []
        async with contextlib.aclosing(self._from(app_ids, after)) as letters:
            async for letter in letters:
                if len(found) == limit:
                    return Page(found, Place(found[-1]["appId"], found[-1]["letterId"]))
                found.append(_view(letter))
        return Page(found, None)

    async def replay(self, app_id: str, letter_ids: Sequence[str]) -> LettersDone:
        """Write letters into the database, and delete those that it took."""
        failed: list[LetterNotDone] = []
        for letter_id in dict.fromkeys(letter_ids):
            letter = await self._letters.one(app_id, letter_id)
            if letter is None:
                failed.append(_not_there(letter_id))
                continue
            try:
                await self._letters.replay(letter)
            except (MalformedEvent, StatementRefused, StoreUnavailable, ValueError) as error:
                failed.append({"letterId": letter_id, "reason": f"{type(error).__name__}: {error}"})
        return {"done": len(set(letter_ids)) - len(failed), "failed": failed}

    async def drop(self, app_id: str, letter_ids: Sequence[str]) -> LettersDone:
        """Delete letters. What they hold is lost, unless it has a row."""
        failed: list[LetterNotDone] = []
        for letter_id in dict.fromkeys(letter_ids):
            letter = await self._letters.one(app_id, letter_id)
            if letter is None:
                failed.append(_not_there(letter_id))
            else:
                await self._letters.drop(letter)
        return {"done": len(set(letter_ids)) - len(failed), "failed": failed}

    async def _from(self, app_ids: Sequence[str], after: Place | None) -> AsyncGenerator[Letter]:
        """The letters of apps after a place, some at a time."""
        for first in range(0, len(app_ids), APPS_AT_ONCE):
            for app_id in await self._having_letters(app_ids[first : first + APPS_AT_ONCE]):
                begin = after.letter_id if after is not None and app_id == after.app_id else None
                while some := await self._letters.some(app_id, begin):
                    for letter in some:
                        yield letter
                    begin = some[-1].id

    async def _having_letters(self, app_ids: Sequence[str]) -> list[str]:
        keys = [names.dead_letters(app_id) for app_id in app_ids]
        lengths = await self._masters.all([(key, ("XLEN", key)) for key in keys])
        return [app_id for app_id, length in zip(app_ids, lengths, strict=True) if length]


def _not_there(letter_id: str) -> LetterNotDone:
    return {"letterId": letter_id, "reason": "there is no such letter"}


def _view(letter: Letter) -> DeadLetter:
    kind = letter.kind
    known = {spelling.value.decode(): word for spelling, word in KINDS.items()}
    return {
        "appId": letter.app_id,
        "letterId": letter.id,
        "logId": letter.entry_id,
        "kind": known.get(kind, kind),
        "reason": letter.reason,
        "time": letter.time_ms,
    }
