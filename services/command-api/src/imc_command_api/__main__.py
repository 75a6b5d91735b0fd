"""The process command-api."""

import os

from imc_service import logs, server
from imc_service.guard.options import guarded
from imc_service.settings import load_or_exit

from imc_command_api.app import create_app
from imc_command_api.settings import CommandApiSettings


def main() -> None:
    """Serve until SIGTERM."""
    settings = load_or_exit(CommandApiSettings, os.environ)
    logs.configure("command-api", settings.log_level)
    server.run(lambda: _serve(settings))


async def _serve(settings: CommandApiSettings) -> None:
    app = create_app(settings)
    await server.serve(app, settings, **guarded(settings, app.state.registry))


if __name__ == "__main__":
    main()
