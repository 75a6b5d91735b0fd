"""``imc apps``."""

import json

import click
from imc_contracts.operator_views import AppActivity

from imc_cli import operating
from imc_cli.command import all_pages, as_json, documented, limit
from imc_cli.connection import Connection, connected
from imc_cli.output import Cell, say_json, say_table
from imc_cli.paging import listed

COLUMNS = (
    "APP",
    "SENDS/S",
    "REFUSED/S",
    "PUSHES/S",
    "BACKLOG",
    "SECONDS",
    "GATEWAYS",
    "LETTERS",
    "QUOTAS",
    "KEPT DAYS",
    "GROUP DAYS",
    "SUSPENDED",
)


@documented(examples=["imc apps", "imc apps --noisiest --limit 5", "imc apps --all --json"])
@click.option("--noisiest", is_flag=True, help="Those with the most sends first, instead of by id.")
@limit
@all_pages
@as_json
@connected
def command(connection: Connection, noisiest: bool, limit: int, everything: bool, as_json: bool) -> None:
    """List apps: what they send and get each second, what waits for the database, their gateways and quotas,
    for how many days messages and abandoned groups are kept.

    The token needs the scope operate.
    """
    order = "noisiest" if noisiest else "id"
    found = listed(
        connection,
        lambda after, size: operating.apps(order=order, after=after, limit=size),
        limit,
        everything,
    )
    if as_json:
        say_json(found)
    else:
        say_table(COLUMNS, map(_row, found))


def _row(app: AppActivity) -> tuple[Cell, ...]:
    rates = (app["sendsPerSecond"], app["sendsRefusedPerSecond"], app["pushesPerSecond"])
    quotas = json.dumps(app["quotas"]) if app["quotas"] else ""
    waiting = app["backlogEntries"], f"{app['backlogSeconds']:.2f}"
    return (
        app["appId"],
        *(f"{each:.2f}" for each in rates),
        *waiting,
        app["gateways"],
        app["deadLetters"],
        quotas,
        *("" if days is None else f"{days:g}" for days in (app["retentionDays"], app["abandonedGroupDays"])),
        "yes" if app["isSuspended"] else "",
    )
