"""``imc recall``."""

import click
from imc_gateway import calls
from imc_service.standard_streams import say

from imc_cli.command import app, as_json, documented
from imc_cli.connection import Connection, connected
from imc_cli.output import moment, say_json
from imc_cli.views import view_of_message


@documented(
    examples=[
        "imc recall --app demo 6711208362434199552",
        "imc recall --app demo --cause 'wrong group' 6711208362434199552",
    ]
)
@app
@click.option("--cause", help="Why, shown with the message.")
@as_json
@click.argument("message_id", metavar="MESSAGE")
@connected
def command(connection: Connection, app_id: str, cause: str | None, as_json: bool, message_id: str) -> None:
    """Take the message with the id MESSAGE back. This is final: its content is never shown again."""
    message = connection.call(calls.recall_message(app_id, message_id, cause=cause))
    if as_json:
        say_json([view_of_message(message)])
    else:
        say(f"{message.message_id}  recalled {moment(message.recall_time)}")
