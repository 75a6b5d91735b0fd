"""``imc run``."""

import os
from pathlib import Path

import click

from imc_cli.command import documented
from imc_cli.failures import MissingPart


@documented(
    examples=[
        "imc run",
        "imc run --port 8080 --data-dir /var/lib/imc",
        "IMC_JWT_SECRET=$(openssl rand -hex 32) imc run --auth jwt --host 0.0.0.0",
    ]
)
@click.option("--host", envvar="IMC_HOST", help="Address to listen on.", show_default="127.0.0.1")
@click.option(
    "--port", envvar="IMC_PORT", type=click.IntRange(1, 65535), help="Port to listen on.", show_default="8000"
)
@click.option(
    "--data-dir",
    envvar="IMC_DATA_DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the embedded log and database.",
    show_default=".imc-data",
)
@click.option(
    "--auth",
    envvar="IMC_AUTH",
    type=click.Choice(["off", "jwt"]),
    default="off",
    show_default=True,
    help="jwt: each call needs a token. off: nobody is asked for one, and it listens on a loopback address.",
)
def command(host: str | None, port: int | None, data_dir: Path | None, auth: str) -> None:
    """Run all of IMC in one process, until SIGTERM or Ctrl-C.

    Log and database are embedded, unless IMC_REDIS_URL and IMC_DATABASE_URL name others. All settings of
    docs/settings.md count, as environment variables.
    """
    try:
        from imc_standalone.__main__ import run
    except ModuleNotFoundError:
        raise MissingPart("imc-standalone") from None
    given = {"IMC_HOST": host, "IMC_PORT": port, "IMC_DATA_DIR": data_dir, "IMC_AUTH": auth}
    run({**os.environ, **{name: str(value) for name, value in given.items() if value is not None}})
