"""``imc-deadletters list | replay | drop``: log entries that could not be projected."""

import argparse
import asyncio
import contextlib
import os
import sys
from datetime import UTC, datetime

from imc_contracts.events import MalformedEvent
from imc_service.command_line import Program
from imc_service.database.database import StatementRefused, StoreUnavailable, open_database
from imc_service.redis import client as redis_client
from imc_service.redis.errors import words_of
from imc_service.settings import load_or_exit
from imc_service.standard_streams import say, standard_streams
from redis.exceptions import RedisError

from imc_command_api.dead_letters.letters import DeadLetters, Letter
from imc_command_api.dead_letters.settings import DeadLettersSettings
from imc_command_api.store.projection import Projection

HEAD = "letter\tapp\tentry of the log\tkind\tdead-lettered\treason"

PROGRAM = Program(
    name="imc-deadletters",
    package="imc-command-api",
    purpose="Lists, replays or drops log entries that could not be projected.",
    settings=(DeadLettersSettings,),
    example="IMC_REDIS_URL=redis://127.0.0.1:6379 IMC_DATABASE_URL=mysql://imc@127.0.0.1/imc "
    "imc-deadletters list",
)


def main() -> None:
    """Run with the settings of the environment; exit status 1 if a letter could not be replayed."""
    with standard_streams():
        arguments = _arguments()
        settings = load_or_exit(DeadLettersSettings, os.environ)
        try:
            status = asyncio.run(_run(arguments, settings))
        except (RedisError, OSError) as error:
            sys.exit(f"Redis does not answer as it should: {words_of(error)}")
        sys.exit(status)


def _arguments() -> argparse.Namespace:
    parser = PROGRAM.parser()
    commands = parser.add_subparsers(dest="command", required=True)
    for command, meaning in (
        ("list", "show them, without what users wrote"),
        ("replay", "write them into the database again, once what was wrong is mended"),
        ("drop", "forget them: what is in no row is lost"),
    ):
        sub = commands.add_parser(command, help=meaning)
        sub.add_argument("--app", help="only those of this app")
        if command != "list":
            which = sub.add_mutually_exclusive_group(required=True)
            which.add_argument("--all", action="store_true", help="every letter")
            which.add_argument("--letter", action="append", default=[], help="this letter, as list shows it")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace, settings: DeadLettersSettings) -> int:
    redis = redis_client.connect(settings.redis_url.get_secret_value())
    database_url = settings.database_url.get_secret_value()
    async with contextlib.aclosing(redis), open_database(database_url) as database:
        letters = DeadLetters(redis, Projection(database))
        chosen = [letter async for letter in letters.all(arguments.app)]
        if arguments.command == "list":
            say(HEAD, *(_line(letter) for letter in chosen))
            return 0
        chosen = [letter for letter in chosen if arguments.all or letter.id in arguments.letter]
        failed = 0
        for letter in chosen:
            if arguments.command == "drop":
                await letters.drop(letter)
            else:
                failed += not await _replayed(letters, letter)
        say(f"{len(chosen) - failed} done, {failed} not")
        return 1 if failed else 0


async def _replayed(letters: DeadLetters, letter: Letter) -> bool:
    try:
        await letters.replay(letter)
    except (MalformedEvent, StatementRefused, StoreUnavailable, ValueError) as error:
        say(f"{letter.id} stays: {type(error).__name__}: {error}")
        return False
    return True


def _line(letter: Letter) -> str:
    dead_lettered = datetime.fromtimestamp(letter.time_ms / 1000, UTC).isoformat(timespec="seconds")
    cells = (letter.id, letter.app_id, letter.entry_id, letter.kind, dead_lettered, letter.reason)
    return "\t".join(cells)


if __name__ == "__main__":
    main()
