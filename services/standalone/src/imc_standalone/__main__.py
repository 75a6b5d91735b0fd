"""The process standalone."""

import contextlib
import os
import sys

from imc_push_node.bootstrap import PushNode
from imc_push_node.protocol import server_options
from imc_service import logs, server
from imc_service.settings import EXIT_CODE, SettingsError, load

from imc_standalone import data_folder
from imc_standalone.app import create_app
from imc_standalone.settings import PartSettings, StandaloneSettings, load_parts
from imc_standalone.welcome import welcome


def main() -> None:
    """Serve everything until SIGTERM or Ctrl-C."""
    try:
        settings, parts = load(StandaloneSettings, os.environ), load_parts(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EXIT_CODE)
    logs.configure("standalone", settings.log_level)
    try:
        with data_folder.locked(settings.data_dir) if settings.is_embedded else contextlib.nullcontext():
            server.run(lambda: _serve(settings, parts))
    except data_folder.DataFolderInUse as error:
        sys.exit(str(error))


async def _serve(settings: StandaloneSettings, parts: PartSettings) -> None:
    app = create_app(settings, parts)

    async def drain() -> None:
        push_node: PushNode | None = getattr(app.state, "push_node", None)
        if push_node is not None:
            await push_node.drain.run()

    await server.serve(
        app,
        settings,
        drain=drain,
        on_started=lambda: print(welcome(settings), flush=True),  # noqa: T201 - for the person at the terminal
        **server_options(parts.push_node, app.state.registry, limits=settings),
    )


if __name__ == "__main__":
    main()
