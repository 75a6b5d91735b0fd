"""The process query-api."""

import os

from imc_service import logs, server
from imc_service.guard.options import guarded
from imc_service.settings import load_or_exit

from imc_query_api.app import create_app
from imc_query_api.settings import QueryApiSettings


def main() -> None:
    """Serve until SIGTERM."""
    settings = load_or_exit(QueryApiSettings, os.environ)
    logs.configure("query-api", settings.log_level)
    server.run(lambda: _serve(settings))


async def _serve(settings: QueryApiSettings) -> None:
    app = create_app(settings)
    await server.serve(app, settings, **guarded(settings, app.state.registry))


if __name__ == "__main__":
    main()
