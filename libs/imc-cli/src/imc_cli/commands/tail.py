"""``imc tail``."""

import logging
import secrets
from pathlib import Path
from typing import Any

import click
from imc_gateway import (
    Erased,
    Event,
    FileStore,
    Gap,
    Gateway,
    MemoryStore,
    Message,
    MessageRecalled,
    MessageSent,
    Notice,
    NoticeDeleted,
    NoticePublished,
    connect,
)
from imc_service.standard_streams import say

from imc_cli.command import app, as_json, documented
from imc_cli.connection import Connection, awaited, connected
from imc_cli.failures import Failure
from imc_cli.output import moment, printable, say_json
from imc_cli.views import view_of_message, view_of_notice

KINDS: dict[type[Event], str] = {
    MessageSent: "sent",
    MessageRecalled: "recalled",
    NoticePublished: "notice",
    NoticeDeleted: "deleted",
    Erased: "erased",
    Gap: "gap",
}


@documented(
    examples=[
        "imc tail --app demo",
        "imc tail --app demo --group lobby --notices --json",
        "imc tail --app demo --store position --count 100",
    ]
)
@app
@click.option("--group", "-g", "group_id", metavar="GROUP", help="Only events of this group.")
@click.option("--user", "-u", "user_id", metavar="USER", help="Only events of this user.")
@click.option("--notices", is_flag=True, help="Notices too.")
@click.option("--count", "-c", type=click.IntRange(1), metavar="N", help="End after so many events.")
@click.option(
    "--store",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file that keeps the position: the next run with it continues where this one ends.",
)
@click.option(
    "--gateway",
    "gateway_id",
    metavar="GATEWAY",
    help="The gatewayId to connect with, instead of a random one. It replaces a gateway with the same.",
)
@as_json
@connected
@awaited
async def command(
    connection: Connection,
    app_id: str,
    group_id: str | None,
    user_id: str | None,
    notices: bool,
    count: int | None,
    store: Path | None,
    gateway_id: str | None,
    as_json: bool,
) -> None:
    """Show events of an app as they happen, until Ctrl-C.

    It connects as a gateway, and comes back by itself when IMC does: nothing is missed or shown twice. The
    token needs the scope gateway.
    """
    tell_of_reconnects()
    gateway = connect(
        connection.url,
        app_id,
        gateway_id or f"imc-tail-{secrets.token_hex(4)}",
        token=connection.token,
        store=MemoryStore() if store is None else FileStore(store),
        notices=notices,
    )
    try:
        with connection.failures_told():
            async with gateway:
                await _show(gateway, group_id, user_id, count, as_json)
    except ValueError as error:
        raise Failure(f"{store}: {error}") from None
    except OSError as error:
        raise Failure(f"the position can't be kept in {store}: {error.strerror or error}") from None


async def _show(
    gateway: Gateway, group_id: str | None, user_id: str | None, count: int | None, as_json: bool
) -> None:
    shown = 0
    async for event in gateway:
        if not is_wanted(event, group_id, user_id):
            continue
        if as_json:
            say_json([data_of(event)])
        else:
            say(line_of(event))
        shown += 1
        if shown == count:
            return


def tell_of_reconnects() -> None:
    """Let the gateway say on standard error why it is not connected, and when it tries again."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("imc_gateway").setLevel(logging.INFO)


def is_wanted(event: Event, group_id: str | None, user_id: str | None) -> bool:
    """Whether an event is of this group and this user; an erasure or a gap is of all."""
    subject = _subject(event)
    return subject is None or (group_id in (None, subject.group_id) and user_id in (None, subject.user_id))


def data_of(event: Event) -> dict[str, Any]:
    """An event as JSON."""
    match event:
        case MessageSent(message) | MessageRecalled(message):
            return {"event": KINDS[type(event)], "message": view_of_message(message)}
        case NoticePublished(notice) | NoticeDeleted(notice):
            return {"event": KINDS[type(event)], "notice": view_of_notice(notice)}
        case Erased(erasure_id, user_id, group_id, erase_time):
            erasure = {
                "erasureId": erasure_id,
                "userId": user_id,
                "groupId": group_id,
                "eraseTime": erase_time,
            }
            return {"event": KINDS[Erased], "erasure": erasure}
        case Gap(is_repaired):
            return {"event": "gap", "repaired": is_repaired}


def line_of(event: Event) -> str:
    """An event as a line for people."""
    subject = _subject(event)
    if isinstance(event, Erased):
        return f"{moment(event.erase_time)}  {KINDS[Erased]:8}  {event.erasure_id}  {_erased(event)}"
    if subject is None:
        assert isinstance(event, Gap)
        made_up = "what was missed stands above" if event.is_repaired else "events may be missing"
        return f"{'':24}  gap       {made_up}"
    title = f"{subject.title}: " if isinstance(subject, Notice) and subject.title else ""
    words = f"{subject.user_id} in {subject.group_id}: {title}{subject.content}"
    key = subject.message_id if isinstance(subject, Message) else subject.information_id
    return f"{moment(subject.create_time)}  {KINDS[type(event)]:8}  {key}  {printable(words)}"


def _subject(event: Event) -> Message | Notice | None:
    match event:
        case MessageSent(message) | MessageRecalled(message):
            return message
        case NoticePublished(notice) | NoticeDeleted(notice):
            return notice
        case Erased() | Gap():
            return None


def _erased(event: Erased) -> str:
    """What is erased, in words."""
    if event.user_id is not None:
        return printable(f"all that {event.user_id} wrote")
    return "all of the app" if event.group_id is None else printable(f"all of {event.group_id}")
