"""``imc deadletters``."""

import itertools
from collections.abc import Sequence
from operator import itemgetter

import click
from imc_contracts.operator_views import DeadLetter
from imc_service.standard_streams import say

from imc_cli import letters
from imc_cli.command import Group, as_json, optional_app
from imc_cli.connection import Connection, awaited, connected
from imc_cli.letters import Letters
from imc_cli.operating import MOST_LETTERS
from imc_cli.output import Cell, moment, progress, say_json, say_table, warn

COLUMNS = ("LETTER", "APP", "ENTRY", "KIND", "TIME", "REASON")

direct = click.option(
    "--direct",
    is_flag=True,
    help="Without a running IMC: in the Redis at IMC_REDIS_URL and the database at IMC_DATABASE_URL.",
)
everything = click.option("--all", "everything", is_flag=True, help="Every letter, or every one of --app.")
letter_ids = click.argument("letter_ids", metavar="[LETTER]...", nargs=-1)


@click.group(cls=Group)
def command() -> None:
    """Dead letters are entries of logs that the database refused, while it took others.

    Gateways got them, but the history lacks them. The token needs the scope operate.
    """


@command.command(
    "list",
    examples=[
        "imc deadletters list",
        "imc deadletters list --app demo --json",
        "imc deadletters list --direct",
    ],
)
@optional_app
@direct
@as_json
@connected
@awaited
async def list_letters(connection: Connection, app_id: str | None, direct: bool, as_json: bool) -> None:
    """List dead letters, without what users wrote."""
    async with letters.opened(connection, direct=direct) as store:
        found = [letter async for letter in store.all(app_id)]
    if as_json:
        say_json(found)
    else:
        say_table(COLUMNS, map(_row, found))


@command.command(
    examples=["imc deadletters replay --all", "imc deadletters replay --app demo 1764403200000-0"]
)
@optional_app
@everything
@direct
@letter_ids
@connected
@awaited
async def replay(
    connection: Connection, app_id: str | None, everything: bool, direct: bool, letter_ids: tuple[str, ...]
) -> int:
    """Store dead letters, once what was wrong is mended. Those that the database refuses again stay."""
    _check(app_id, everything, letter_ids)
    async with letters.opened(connection, direct=direct) as store:
        return await _carry_out("replay", store, await _chosen(store, app_id, letter_ids))


@command.command(
    examples=[
        "imc deadletters drop --app demo 1764403200000-0",
        "imc deadletters drop --app demo --all --yes",
    ]
)
@optional_app
@everything
@click.option("--yes", is_flag=True, help="Do not ask.")
@direct
@letter_ids
@connected
@awaited
async def drop(
    connection: Connection,
    app_id: str | None,
    everything: bool,
    yes: bool,
    direct: bool,
    letter_ids: tuple[str, ...],
) -> int:
    """Forget dead letters. What is in no row is lost."""
    _check(app_id, everything, letter_ids)
    async with letters.opened(connection, direct=direct) as store:
        chosen = await _chosen(store, app_id, letter_ids)
        if everything and not yes and chosen:
            click.confirm(f"Forget {len(chosen)} dead letters for ever?", abort=True, err=True)
        return await _carry_out("drop", store, chosen)


def _check(app_id: str | None, everything: bool, letter_ids: Sequence[str]) -> None:
    if everything == bool(letter_ids):
        raise click.UsageError("Name letters as `imc deadletters list` shows them, or say --all.")
    if letter_ids and app_id is None:
        raise click.UsageError("Name the --app of these letters.")


async def _chosen(store: Letters, app_id: str | None, letter_ids: Sequence[str]) -> list[tuple[str, str]]:
    """The app and the id of each letter that is meant."""
    if letter_ids:
        assert app_id is not None
        return [(app_id, each) for each in dict.fromkeys(letter_ids)]
    return [(each["appId"], each["letterId"]) async for each in store.all(app_id)]


async def _carry_out(action: str, store: Letters, chosen: Sequence[tuple[str, str]]) -> int:
    """Replay or drop letters; the exit status."""
    work = store.replay if action == "replay" else store.drop
    done = refused = 0
    with progress(action, len(chosen)) as advance:
        for app_id, of_app in itertools.groupby(sorted(chosen), itemgetter(0)):
            ids = [each for _, each in of_app]
            for start in range(0, len(ids), MOST_LETTERS):
                some = ids[start : start + MOST_LETTERS]
                outcome = await work(app_id, some)
                done, refused = done + outcome["done"], refused + len(outcome["failed"])
                for each in outcome["failed"]:
                    warn(f"{each['letterId']} of {app_id} stays: {each['reason']}")
                advance(len(some))
    say(f"{done} done, {refused} not")
    return 1 if refused else 0


def _row(letter: DeadLetter) -> tuple[Cell, ...]:
    time = moment(letter["time"])
    return letter["letterId"], letter["appId"], letter["logId"], letter["kind"], time, letter["reason"]
