"""``imc check``."""

import dataclasses
import os
from collections.abc import AsyncGenerator, Sequence

import click
from imc_service import logs
from imc_service.settings import SettingsError, load

from imc_cli.checks import database_servers, redis_servers, settings
from imc_cli.checks.findings import Finding
from imc_cli.checks.settings import PROCESSES, CheckSettings
from imc_cli.command import as_json, documented
from imc_cli.connection import awaited
from imc_cli.output import say_json, say_table

COLUMNS = ("", "PART", "WHAT", "FOUND", "CURE")
SERVED = ("command-api", "projector", "query-api")
"""The processes whose rights are checked unless some are named."""


@documented(
    examples=[
        "imc check",
        "imc check command-api projector",
        "imc check --json | jq 'select(.level != \"ok\")'",
    ]
)
@as_json
@click.argument("processes", metavar="[PROCESS]...", nargs=-1, type=click.Choice(PROCESSES))
@awaited
async def command(processes: tuple[str, ...], as_json: bool) -> int:
    """Check settings, Redis and database as the environment names them. Nothing is changed.

    Set the variables that the processes have: IMC_REDIS_URL and IMC_DATABASE_URL, with the user whose rights
    are to be checked. For each PROCESS that is named, its settings are read as it would read them.

    Exit status 1 says that something is wrong.
    """
    # What the libraries log of faults is told as findings.
    logs.configure("imc check", "error")
    found = [finding async for finding in _findings(processes)]
    if as_json:
        say_json(map(dataclasses.asdict, found))
    else:
        say_table(COLUMNS, [(each.level, each.part, each.what, each.found, each.cure) for each in found])
    return 1 if any(each.level == "wrong" for each in found) else 0


async def _findings(processes: Sequence[str]) -> AsyncGenerator[Finding]:
    for finding in (*settings.of_processes(os.environ, processes), *settings.slips(os.environ)):
        yield finding
    try:
        given = load(CheckSettings, os.environ)
    except SettingsError as error:
        for fault in () if processes else str(error).splitlines()[1:]:
            yield Finding(settings.PART, "servers", "wrong", fault.strip())
        return
    if not processes and given.redis_url is None and given.database_url is None:
        raise click.UsageError(
            "There is nothing to check: set IMC_REDIS_URL and IMC_DATABASE_URL as the processes have them."
        )
    served = SERVED if not processes or "standalone" in processes else processes
    if given.redis_url is not None:
        async for finding in redis_servers.look_at(
            given.redis_url.get_secret_value(), served, given.ack_replicas
        ):
            yield finding
    if given.database_url is not None:
        async for finding in database_servers.look_at(given.database_url.get_secret_value(), served):
            yield finding
    if given.read_database_url is not None:
        async for finding in database_servers.look_at_replica(given.read_database_url.get_secret_value()):
            yield finding
