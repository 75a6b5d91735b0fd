"""``imc send``."""

import sys
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import click
from imc_contracts.fields import INT32_MAX, MAX_BATCH, MAX_CONTENT_BYTES
from imc_gateway import ImcError, calls
from imc_service.standard_streams import say

from imc_cli.command import app, as_json, documented
from imc_cli.connection import Connection, connected
from imc_cli.failures import Failure
from imc_cli.output import moment, progress, say_json, warn
from imc_cli.views import view_of_sent

BATCH_BYTES = 1_048_576
"""The most content of one batch: the body stays below what IMC takes unless it is set lower."""

_LINE_BYTES = MAX_CONTENT_BYTES + 2
"""The longest line, with its end."""


@documented(
    examples=[
        "imc send --app demo --group lobby --user ann hello",
        "imc send --app demo --group lobby --user ann < lines.txt",
        "imc send --app demo --group lobby --user ann --json hello",
    ]
)
@app
@click.option("--group", "-g", "group_id", required=True, metavar="GROUP", help="The groupId.")
@click.option("--user", "-u", "user_id", required=True, metavar="USER", help="The userId of the sender.")
@click.option(
    "--type", type=click.IntRange(-INT32_MAX - 1, INT32_MAX), help="A number that apps give a meaning."
)
@click.option(
    "--client-message-id",
    metavar="ID",
    help="Your own id of the message. Sent again with the same id, it stays one message.",
)
@as_json
@click.argument("content", required=False)
@connected
def command(
    connection: Connection,
    app_id: str,
    group_id: str,
    user_id: str,
    type: int | None,
    client_message_id: str | None,
    as_json: bool,
    content: str | None,
) -> int:
    """Send a message.

    Without CONTENT, each line of standard input becomes a message, in batches. A line that IMC refuses is
    told on standard error, and the others are sent.
    """
    common: dict[str, Any] = {"app_id": app_id, "group_id": group_id, "user_id": user_id, "type": type}
    if content is None:
        if client_message_id is not None:
            raise click.UsageError("--client-message-id is for one message: write its CONTENT.")
        return _send_lines(connection, common, as_json)
    key = client_message_id or _fresh_id()
    try:
        sent = connection.call(calls.send_message(content=content, client_message_id=key, **common))
    except Failure as failure:
        raise Failure(f"{failure.message}\nTo send it again, add --client-message-id {key}.") from None
    if as_json:
        say_json([view_of_sent(sent)])
    else:
        note = "  (it was sent before)" if sent.is_duplicate else ""
        say(f"{sent.message_id}  {moment(sent.create_time)}{note}")
    return 0


def _send_lines(connection: Connection, common: dict[str, Any], as_json: bool) -> int:
    refused = number = 0
    with progress("sent") as advance:
        for batch in batches(_lines()):
            bodies = [
                calls.message_body(content=line, client_message_id=_fresh_id(), **common) for line in batch
            ]
            for result in connection.call(calls.send_messages(bodies)):
                number += 1
                if isinstance(result, ImcError):
                    refused += 1
                    warn(f"line {number} was refused: {result}")
                elif as_json:
                    say_json([view_of_sent(result)])
            advance(len(batch))
    if not as_json:
        say(f"{number - refused} sent, {refused} refused")
    return 1 if refused else 0


def batches(lines: Iterator[str]) -> Iterator[Sequence[str]]:
    """Lines in batches that one call takes; each line by itself if somebody types them."""
    most = 1 if sys.stdin.isatty() else MAX_BATCH
    batch, size = list[str](), 0
    for line in lines:
        if batch and (len(batch) == most or size + len(line.encode()) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line.encode())
        if most == 1:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _lines() -> Iterator[str]:
    number = 0
    while line := sys.stdin.buffer.readline(_LINE_BYTES + 1):
        number += 1
        if len(line.rstrip(b"\r\n")) > MAX_CONTENT_BYTES:
            raise Failure(f"line {number} of standard input is longer than {MAX_CONTENT_BYTES} bytes")
        try:
            yield line.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise Failure(f"line {number} of standard input is not UTF-8") from None


def _fresh_id() -> str:
    return f"imc-{uuid.uuid4()}"
