"""``imc export``."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from imc_gateway.calls import Call, ExportPage, export_messages, export_notices
from imc_service.standard_streams import say

from imc_cli.command import app, documented
from imc_cli.connection import Connection, awaited, connected
from imc_cli.exporting import lines_of, opened
from imc_cli.output import progress
from imc_cli.views import view_of_message, view_of_notice

PAGE = 500
KINDS: list[tuple[str, Callable[..., Call[ExportPage[Any]]], Callable[[Any], Mapping[str, Any]]]] = [
    ("message", export_messages, view_of_message),
    ("notice", export_notices, view_of_notice),
]


@documented(
    examples=[
        "imc export --app demo --output demo.ndjson",
        "imc export --app demo --user ann --output ann.ndjson",
        "imc export --app demo --group lobby | gzip > lobby.ndjson.gz",
    ]
)
@app
@click.option("--group", "-g", "group_id", metavar="GROUP", help="Only what is in this group.")
@click.option("--user", "-u", "user_id", metavar="USER", help="Only what is by this user.")
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to this file instead of standard output. If the export breaks off, the same command goes on.",
)
@connected
@awaited
async def command(
    connection: Connection, app_id: str, group_id: str | None, user_id: str | None, output: Path | None
) -> None:
    """Write all messages and notices of an app, a group or a user, one JSON document a line.

    Each line is {"message": …} or {"notice": …}, as the API shows them. Recalled messages have no content.
    What is sent while the export goes on may be in it.
    """
    subject = {"appId": app_id, "groupId": group_id, "userId": user_id}
    with opened(output, subject) as file, progress("messages and notices") as advance:
        async with connection.client() as client:
            advance(file.count)
            while file.kinds_done < len(KINDS):
                kind, call, view_of = KINDS[file.kinds_done]
                page = await client.call(
                    call(app_id, group_id=group_id, user_id=user_id, after=file.after, limit=PAGE)
                )
                file.add(lines_of(kind, map(view_of, page.items)), page.next)
                advance(len(page.items))
    if output is not None:
        say(f"{file.count} messages and notices are in {output}")
