"""``imc groups``."""

import click
from imc_gateway import Group, calls

from imc_cli.command import all_pages, app, as_json, documented, limit
from imc_cli.connection import Connection, connected
from imc_cli.output import say_json, say_table
from imc_cli.views import GROUP_COLUMNS, row_of_group, view_of_group

PAGE = 500


@documented(examples=["imc groups --app demo", "imc groups --app demo --user ann --all --json"])
@app
@click.option("--user", "-u", "user_id", metavar="USER", help="Only groups that this user has written in.")
@limit
@all_pages
@as_json
@connected
def command(
    connection: Connection, app_id: str, user_id: str | None, limit: int, everything: bool, as_json: bool
) -> None:
    """List the groups of an app, those with the newest activity first."""
    size, after, groups = PAGE if everything else limit, None, list[Group]()
    while True:
        page = connection.call(calls.groups(app_id, user_id=user_id, after=after, limit=size))
        groups += page.items
        if not everything or not page.has_more:
            break
        after = page.items[-1].newest_message.message_id
    if as_json:
        say_json(map(view_of_group, groups))
    else:
        say_table(GROUP_COLUMNS, map(row_of_group, groups))
