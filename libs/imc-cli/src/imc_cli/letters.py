"""Dead letters: by the calls of a running installation, or in the Redis and the database of a stopped one."""

import contextlib
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from imc_command_api.dead_letters.letters import DeadLetters
from imc_command_api.dead_letters.pages import LetterPages
from imc_command_api.dead_letters.settings import DeadLettersSettings
from imc_command_api.store.projection import Projection
from imc_contracts.operator_views import DeadLetter, LettersDone
from imc_gateway import AsyncClient
from imc_service.database.database import open_database
from imc_service.redis import masters as redis_masters
from imc_service.redis.errors import words_of
from imc_service.settings import load_or_exit
from redis.exceptions import RedisError

from imc_cli import operating
from imc_cli.connection import Connection
from imc_cli.failures import Failure
from imc_cli.operating import MOST_LETTERS


class Letters(Protocol):
    """The dead letters of an installation, as the API shows them. What fails is raised: see `opened`."""

    def all(self, app_id: str | None) -> AsyncGenerator[DeadLetter]:
        """Every letter, of one app or of all."""
        ...

    async def replay(self, app_id: str, letter_ids: Sequence[str]) -> LettersDone:
        """Store what letters hold. Those that can't be stored stay."""
        ...

    async def drop(self, app_id: str, letter_ids: Sequence[str]) -> LettersDone:
        """Forget letters."""
        ...


def opened(connection: Connection, *, direct: bool) -> AbstractAsyncContextManager[Letters]:
    """The letters, by calls, or ``direct``. What goes wrong becomes a `Failure` as the block is left."""
    return _direct() if direct else _by_calls(connection)


@contextlib.asynccontextmanager
async def _by_calls(connection: Connection) -> AsyncGenerator[Letters]:
    async with connection.client() as client:
        yield _LettersByCalls(client)


@contextlib.asynccontextmanager
async def _direct() -> AsyncGenerator[Letters]:
    settings = load_or_exit(DeadLettersSettings, os.environ)
    masters = redis_masters.connect(settings.redis_url.get_secret_value())
    try:
        async with (
            contextlib.aclosing(masters),
            open_database(settings.database_url.get_secret_value()) as database,
        ):
            yield _DirectLetters(LetterPages(masters, DeadLetters(masters, Projection(database))))
    except (RedisError, OSError) as error:
        words = f"Redis does not answer as it should: {words_of(error)}. `imc check` says more."
        raise Failure(words) from None


class _LettersByCalls:
    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def all(self, app_id: str | None) -> AsyncGenerator[DeadLetter]:
        after: str | None = None
        while True:
            call = operating.dead_letters(app_id=app_id, after=after, limit=MOST_LETTERS)
            page = await self._client.call(call)
            for each in page.items:
                yield each
            if page.next is None:
                return
            after = page.next

    async def replay(self, app_id: str, letter_ids: Sequence[str]) -> LettersDone:
        return await self._client.call(operating.replay(app_id, letter_ids))

    async def drop(self, app_id: str, letter_ids: Sequence[str]) -> LettersDone:
        return await self._client.call(operating.drop(app_id, letter_ids))


class _DirectLetters:
    def __init__(self, pages: LetterPages) -> None:
        self._pages = pages

    async def all(self, app_id: str | None) -> AsyncGenerator[DeadLetter]:
        after = None
        while True:
            page = await self._pages.page(None if app_id is None else [app_id], after, MOST_LETTERS)
            for each in page.items:
                yield each
            if page.next is None:
                return
            after = page.next

    async def replay(self, app_id: str, letter_ids: Sequence[str]) -> LettersDone:
        return await self._pages.replay(app_id, letter_ids)

    async def drop(self, app_id: str, letter_ids: Sequence[str]) -> LettersDone:
        return await self._pages.drop(app_id, letter_ids)
