"""The process projector."""

import os

from imc_service import logs, server
from imc_service.guard.options import guarded
from imc_service.settings import load_or_exit

from imc_command_api.projector.app import create_app
from imc_command_api.projector.settings import ProjectorSettings


def main() -> None:
    """Project until SIGTERM."""
    settings = load_or_exit(ProjectorSettings, os.environ)
    logs.configure("projector", settings.log_level)
    server.run(lambda: _serve(settings))


async def _serve(settings: ProjectorSettings) -> None:
    app = create_app(settings)
    await server.serve(app, settings, **guarded(settings, app.state.registry))


if __name__ == "__main__":
    main()
