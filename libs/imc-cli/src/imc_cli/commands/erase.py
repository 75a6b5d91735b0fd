"""``imc erase``."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import click
from imc_contracts.operator_views import ErasureReport
from imc_service.standard_streams import say
from rich.console import Console

from imc_cli import operating
from imc_cli.command import Group, all_pages, app, as_json, limit
from imc_cli.connection import Connection, connected
from imc_cli.failures import Failure
from imc_cli.output import Cell, moment, printable, say_json, say_table
from imc_cli.paging import listed

F = TypeVar("F", bound=Callable[..., Any])

COLUMNS = (
    *("ERASURE", "TIME", "WHAT", "STAGE", "DONE"),
    *("MESSAGES", "NOTICES", "LOG ENTRIES", "DEAD LETTERS"),
)
LOOK_SECONDS = 0.5
MOST_FAILURES = 60
"""So often in a row it may fail to look. The erasure goes on meanwhile."""


def _erasing(function: F) -> F:
    """Options of the commands that erase."""
    for option in (
        click.option("--no-wait", is_flag=True, help="Do not wait until it is done."),
        click.option("--yes", is_flag=True, help="Do not ask."),
    ):
        function = option(function)
    return function


@click.group(cls=Group)
def command() -> None:
    """Erase what was written until now, for ever: in the database, in the log, among the dead letters.

    What is written later stays. The gateways are told. The token needs the scope operate.
    """


@command.command(examples=["imc erase user --app demo ann", "imc erase user --app demo --yes --json ann"])
@app
@_erasing
@as_json
@click.argument("user_id", metavar="USER")
@connected
def user(connection: Connection, app_id: str, yes: bool, no_wait: bool, as_json: bool, user_id: str) -> None:
    """Erase all that USER has written in the app, in all its groups."""
    what = f"all that {user_id} wrote in {app_id}"
    _erase(connection, "user", app_id, what, yes=yes, no_wait=no_wait, as_json=as_json, userId=user_id)


@command.command(examples=["imc erase group --app demo lobby"])
@app
@_erasing
@as_json
@click.argument("group_id", metavar="GROUP")
@connected
def group(
    connection: Connection, app_id: str, yes: bool, no_wait: bool, as_json: bool, group_id: str
) -> None:
    """Erase all that was written in GROUP."""
    what = f"all of the group {group_id} in {app_id}"
    _erase(connection, "group", app_id, what, yes=yes, no_wait=no_wait, as_json=as_json, groupId=group_id)


@command.command("app", examples=["imc erase app --app demo"])
@app
@_erasing
@as_json
@connected
def whole_app(connection: Connection, app_id: str, yes: bool, no_wait: bool, as_json: bool) -> None:
    """Erase all that was written in the app. The app itself goes on."""
    what = f"all of the app {app_id}"
    _erase(connection, "app", app_id, what, yes=yes, no_wait=no_wait, as_json=as_json)


@command.command("list", examples=["imc erase list --app demo", "imc erase list --app demo --all --json"])
@app
@limit
@all_pages
@as_json
@connected
def list_erasures(connection: Connection, app_id: str, limit: int, everything: bool, as_json: bool) -> None:
    """List erasures, the newest first: how far each is, and what it has removed."""
    found = listed(
        connection,
        lambda after, size: operating.erasures(app_id, after=after, limit=size),
        limit,
        everything,
    )
    if as_json:
        say_json(found)
    else:
        say_table(COLUMNS, map(_row, found))


def _erase(
    connection: Connection,
    kind: str,
    app_id: str,
    what: str,
    *,
    yes: bool,
    no_wait: bool,
    as_json: bool,
    **subject: str,
) -> None:
    if not yes:
        click.confirm(f"Erase {printable(what)}, for ever?", abort=True, err=True)
    accepted = connection.call(operating.erase(kind, app_id, **subject))
    if no_wait:
        say_json([accepted]) if as_json else say(f"{accepted['erasureId']}  accepted")
        return
    report = _done(connection, app_id, accepted["erasureId"])
    if as_json:
        say_json([report])
    else:
        say_table(COLUMNS, [_row(report)])


def _done(connection: Connection, app_id: str, erasure_id: str) -> ErasureReport:
    """Wait until an erasure is done; shows on a terminal how far it is."""
    failures = 0
    with Console(stderr=True).status("erasing: accepted") as status:
        while True:
            try:
                found = connection.call(operating.erasures(app_id, erasure_id=erasure_id)).items
                failures = 0
            except Failure as failure:
                failures += 1
                if failures == MOST_FAILURES:
                    raise Failure(
                        f"the erasure {erasure_id} was accepted and goes on, but it can't be looked at: "
                        f"{failure.message} `imc erase list --app {printable(app_id)}` shows it later."
                    ) from None
                found = []
            for report in found:
                if report["stage"] == "done":
                    return report
                rows = report["erasedMessages"] + report["erasedNotices"]
                status.update(f"erasing: {report['stage']}, {rows} rows so far")
            time.sleep(LOOK_SECONDS)


def _row(report: ErasureReport) -> tuple[Cell, ...]:
    user_id, group_id = report["userId"], report["groupId"]
    what = "app" if group_id is None else f"group {group_id}"
    return (
        report["erasureId"],
        moment(report["eraseTime"]),
        what if user_id is None else f"user {user_id}",
        report["stage"],
        moment(report["finishTime"]),
        report["erasedMessages"],
        report["erasedNotices"],
        report["erasedLogEntries"],
        report["erasedDeadLetters"],
    )
