"""``imc notice``."""

import uuid

import click
from imc_contracts.fields import INT32_MAX
from imc_gateway import Notice, calls
from imc_service.standard_streams import say

from imc_cli.command import Group, all_pages, app, as_json, limit
from imc_cli.connection import Connection, connected
from imc_cli.output import moment, say_json, say_table
from imc_cli.views import NOTICE_COLUMNS, row_of_notice, view_of_notice, view_of_sent

PAGE = 500


@click.group(cls=Group)
def command() -> None:
    """Notices are announcements that are pinned to a group."""


@command.command(
    examples=[
        "imc notice publish --app demo --group lobby --user admin 'closed tonight'",
        "imc notice publish --app demo --group lobby --user admin --title News 'new rules'",
    ]
)
@app
@click.option("--group", "-g", "group_id", required=True, metavar="GROUP", help="The groupId.")
@click.option("--user", "-u", "user_id", required=True, metavar="USER", help="The userId of the publisher.")
@click.option("--title", help="A headline.")
@click.option("--link", "jump_url", metavar="URL", help="Where it leads.")
@click.option(
    "--type", type=click.IntRange(-INT32_MAX - 1, INT32_MAX), help="A number that apps give a meaning."
)
@click.option(
    "--client-message-id",
    metavar="ID",
    help="Your own id. Published again with the same id, it stays one notice.",
)
@as_json
@click.argument("content")
@connected
def publish(
    connection: Connection,
    app_id: str,
    group_id: str,
    user_id: str,
    title: str | None,
    jump_url: str | None,
    type: int | None,
    client_message_id: str | None,
    as_json: bool,
    content: str,
) -> None:
    """Publish a notice."""
    call = calls.publish_notice(
        app_id,
        group_id,
        user_id,
        content,
        title=title,
        jump_url=jump_url,
        type=type,
        client_message_id=client_message_id or f"imc-{uuid.uuid4()}",
    )
    sent = connection.call(call)
    if as_json:
        say_json([view_of_sent(sent, "informationId")])
    else:
        note = "  (it was published before)" if sent.is_duplicate else ""
        say(f"{sent.message_id}  {moment(sent.create_time)}{note}")


@command.command(examples=["imc notice delete --app demo 6711208362434199552"])
@app
@as_json
@click.argument("information_id", metavar="NOTICE")
@connected
def delete(connection: Connection, app_id: str, as_json: bool, information_id: str) -> None:
    """Delete the notice with the id NOTICE."""
    notice = connection.call(calls.delete_notice(app_id, information_id))
    if as_json:
        say_json([view_of_notice(notice)])
    else:
        say(f"{notice.information_id}  deleted {moment(notice.delete_time)}")


@command.command(
    "list",
    examples=[
        "imc notice list --app demo --group lobby",
        "imc notice list --app demo --user admin --deleted",
    ],
)
@app
@click.option("--group", "-g", "group_id", metavar="GROUP", help="Notices of this group.")
@click.option("--user", "-u", "user_id", metavar="USER", help="Notices of this user.")
@click.option("--deleted", is_flag=True, help="Deleted ones too.")
@limit
@all_pages
@as_json
@connected
def list_notices(
    connection: Connection,
    app_id: str,
    group_id: str | None,
    user_id: str | None,
    deleted: bool,
    limit: int,
    everything: bool,
    as_json: bool,
) -> None:
    """List notices of a group, a user, or a user in a group, the newest first."""
    if group_id is None and user_id is None:
        raise click.UsageError("Name a --group, a --user, or both.")
    size, before, notices = PAGE if everything else limit, None, list[Notice]()
    while True:
        call = calls.notices(
            app_id, group_id=group_id, user_id=user_id, before=before, limit=size, with_deleted=deleted
        )
        page = connection.call(call)
        notices += page.items
        if not everything or not page.has_more:
            break
        before = page.items[-1].information_id
    if as_json:
        say_json(map(view_of_notice, notices))
    else:
        say_table(NOTICE_COLUMNS, map(row_of_notice, notices))
