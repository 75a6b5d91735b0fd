"""``imc gateways``."""

import click
from imc_contracts.operator_views import ConnectedGateway
from imc_service.standard_streams import say

from imc_cli import operating
from imc_cli.command import Group, all_pages, app, as_json, limit, optional_app
from imc_cli.connection import Connection, connected
from imc_cli.output import Cell, moment, say_json, say_table
from imc_cli.paging import listed

COLUMNS = (
    *("APP", "GATEWAY", "DOOR", "TRANSPORT", "NODE", "SINCE", "STATE"),
    *("BEHIND", "BYTES BEHIND", "SECONDS BEHIND", "SENDS", "REFUSED", "LAST CLOSE"),
)


@click.group(cls=Group)
def command() -> None:
    """Gateways, on whichever node each of them is. The token needs the scope operate."""


@command.command(
    "list",
    examples=[
        "imc gateways list",
        "imc gateways list --closed --all",
        "imc gateways list --app demo --all --json | jq .lagEntries",
    ],
)
@click.option("--behind", "state", flag_value="behind", help="Only gateways that are behind the log.")
@click.option(
    "--closed",
    "state",
    flag_value="closed",
    help="Those that IMC has closed within the last hour and that are not back, instead.",
)
@optional_app
@click.option("--node", help="Only gateways of this node.")
@limit
@all_pages
@as_json
@connected
def list_gateways(
    connection: Connection,
    state: str | None,
    app_id: str | None,
    node: str | None,
    limit: int,
    everything: bool,
    as_json: bool,
) -> None:
    """List gateways with how far each is behind the log of its app."""
    found = listed(
        connection,
        lambda after, size: operating.gateways(
            state=state, app_id=app_id, node=node, after=after, limit=size
        ),
        limit,
        everything,
    )
    if as_json:
        say_json(found)
    else:
        say_table(COLUMNS, map(_row, found))


@command.command(examples=["imc gateways disconnect --app demo --reason 'it reads nothing' gateway-1"])
@app
@click.option("--reason", help="Told to the gateway.")
@as_json
@click.argument("gateway_id", metavar="GATEWAY")
@connected
def disconnect(
    connection: Connection, app_id: str, reason: str | None, as_json: bool, gateway_id: str
) -> None:
    """Close the connection of GATEWAY with 4410. Gateways are told not to come back by themselves."""
    closed = connection.call(operating.disconnect(app_id, gateway_id, reason=reason))
    if as_json:
        say_json([{"disconnected": closed}])
    else:
        say(f"{closed} disconnected")


def _row(gateway: ConnectedGateway) -> tuple[Cell, ...]:
    close = gateway["lastClose"]
    last = f"{close['code']} {close['reason']} {moment(close['time'])}" if close else ""
    behind = gateway["lagEntries"], gateway["lagBytes"], gateway["lagSeconds"]
    return (
        *(gateway["appId"], gateway["gatewayId"], gateway["door"], gateway["transport"], gateway["node"]),
        *(moment(gateway["connectedAt"]), gateway["state"], *behind),
        *(gateway["sendsAccepted"], gateway["sendsRefused"], last),
    )
