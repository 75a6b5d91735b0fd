"""``imc history``."""

from collections.abc import Iterator
from typing import Any

import click
from imc_gateway import Message, calls
from imc_gateway.calls import Page

from imc_cli.command import all_pages, app, as_json, documented, limit
from imc_cli.connection import Connection, connected
from imc_cli.output import progress, say_json, say_table
from imc_cli.values import Moment
from imc_cli.views import MESSAGE_COLUMNS, row_of_message, view_of_message

PAGE = 500


@documented(
    examples=[
        "imc history --app demo --group lobby",
        "imc history --app demo --user ann --since 2h --limit 200",
        "imc history --app demo --group lobby --all --json > lobby.ndjson",
        "imc history --app demo --message 6711208362434199552",
    ]
)
@app
@click.option("--group", "-g", "group_id", metavar="GROUP", help="Messages of this group.")
@click.option("--user", "-u", "user_id", metavar="USER", help="Messages of this user.")
@click.option("--message", "message_id", metavar="MESSAGE", help="The message with this id alone.")
@click.option("--before", metavar="MESSAGE", help="Only what is older than this message.")
@click.option("--after", metavar="MESSAGE", help="Only what is newer than this message.")
@click.option("--since", type=Moment(), help="Only from this time on, such as 2h (ago) or 2026-11-29T12:00.")
@click.option("--until", type=Moment(), help="Only until before this time.")
@limit
@all_pages
@as_json
@connected
def command(
    connection: Connection,
    app_id: str,
    group_id: str | None,
    user_id: str | None,
    message_id: str | None,
    before: str | None,
    after: str | None,
    since: int | None,
    until: int | None,
    limit: int,
    everything: bool,
    as_json: bool,
) -> None:
    """Show messages of a group, a user, or a user in a group.

    These are the newest ones, the oldest of them first. With --all the newest comes first; with --after and
    --all they are in the order in which they were sent.
    """
    if message_id is not None:
        return _show([connection.call(calls.message(app_id, message_id))], as_json)
    if group_id is None and user_id is None:
        raise click.UsageError("Name a --group, a --user, or both.")
    if before is not None and (after is not None or everything):
        raise click.UsageError("--before goes neither with --after nor with --all.")
    query: dict[str, Any] = {"group_id": group_id, "user_id": user_id, "start_time": since, "end_time": until}
    if not everything:
        page = connection.call(calls.messages(app_id, before=before, after=after, limit=limit, **query))
        return _show(page.items, as_json)
    pages = (
        _from_newest(connection, app_id, query) if after is None else _on(connection, app_id, after, query)
    )
    first = next(pages)
    _show(first.items, as_json)
    with progress("messages", first.total) as advance:
        advance(len(first.items))
        for page in pages:
            _show(page.items, as_json, with_head=False)
            advance(len(page.items))
    return None


def _from_newest(connection: Connection, app_id: str, query: dict[str, Any]) -> Iterator[Page[Message]]:
    """All messages page by page, the newest first. The first page says how many there are."""
    before: str | None = None
    while True:
        with_total = before is None
        call = calls.messages(app_id, before=before, limit=PAGE, with_total=with_total, **query)
        page = connection.call(call)
        yield Page(page.items[::-1], page.has_more, page.total)
        if not page.has_more:
            return
        before = page.items[0].message_id


def _on(connection: Connection, app_id: str, after: str, query: dict[str, Any]) -> Iterator[Page[Message]]:
    """All messages after one, page by page."""
    while True:
        page = connection.call(calls.messages(app_id, after=after, limit=PAGE, **query))
        yield page
        if not page.has_more:
            return
        after = page.items[-1].message_id


def _show(messages: list[Message], as_json: bool, *, with_head: bool = True) -> None:
    if as_json:
        say_json(map(view_of_message, messages))
    else:
        say_table(MESSAGE_COLUMNS, map(row_of_message, messages), with_head=with_head)
