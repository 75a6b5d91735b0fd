"""``imc bench``."""

import secrets
from typing import Any

import click

from imc_cli.command import as_json, documented
from imc_cli.connection import Connection, awaited, connected
from imc_cli.measuring import Load, Measured, measure, percentile
from imc_cli.output import progress, say_json, say_table, warn
from imc_cli.values import Duration

SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}


@documented(
    examples=[
        "imc bench --duration 5s",
        "imc bench --rate 500 --gateways 10 --duration 1m",
        "imc bench --app load-test --senders 64 --json",
    ]
)
@click.option(
    "--app", "-a", "app_id", metavar="APP", help="The appId to send in. [default: one that nothing else has]"
)
@click.option("--duration", type=Duration(1, 600), default="10s", show_default=True, help="How long.")
@click.option(
    "--rate",
    type=click.FloatRange(0.1, 1_000_000),
    metavar="N",
    help="Sends a second; otherwise each sender sends as soon as it is answered.",
)
@click.option("--senders", type=click.IntRange(1, 1000), default=8, show_default=True, help="Sends at once.")
@click.option(
    "--gateways", type=click.IntRange(0, 1000), default=2, show_default=True, help="Gateways that listen."
)
@click.option(
    "--size", type=click.IntRange(40, 65_535), default=200, show_default=True, help="Bytes of each content."
)
@as_json
@connected
@awaited
async def command(
    connection: Connection,
    app_id: str | None,
    duration: int,
    rate: float | None,
    senders: int,
    gateways: int,
    size: int,
    as_json: bool,
) -> int:
    """Send messages, listen to them as gateways, and show how long both take.

    The messages stay in the history of the app. One process of Python measures here: it may be the bound
    rather than IMC. `make bench` measures IMC beside its peers.
    """
    load = Load(app_id or f"imc-bench-{secrets.token_hex(4)}", duration, rate, senders, gateways, size)
    with connection.failures_told(), progress("seconds", duration) as advance:
        measured = await measure(connection, load, advance)
    data = data_of(load, measured)
    if as_json:
        say_json([data])
    else:
        say_table(
            ("WHAT", "COUNT", "A SECOND", *(f"{name} MS" for name in SHARES)),
            [(what, *data[what].values()) for what in ("sends", "pushes")],
        )
    for reason, count in measured.refused.items():
        warn(f"{count} sends were refused: {reason}")
    if measured.missing_pushes:
        warn(f"{measured.missing_pushes} pushes had not come in time")
    return 1 if measured.refused or measured.missing_pushes else 0


def data_of(load: Load, measured: Measured) -> dict[str, Any]:
    """What was measured, as JSON."""

    def figures(times: list[float]) -> dict[str, float | None]:
        found = {name: percentile(times, share) for name, share in SHARES.items()}
        in_ms = {name: None if each is None else round(each * 1000, 1) for name, each in found.items()}
        return {"count": len(times), "perSecond": round(len(times) / measured.seconds, 1), **in_ms}

    return {
        "appId": load.app_id,
        "seconds": round(measured.seconds, 1),
        "sends": figures(measured.send_times),
        "pushes": figures(measured.push_times),
        "refused": measured.refused,
        "missingPushes": measured.missing_pushes,
    }
