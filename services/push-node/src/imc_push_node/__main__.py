"""The process push-node."""

import os

from imc_service import logs, server
from imc_service.settings import load_or_exit

from imc_push_node.app import create_app
from imc_push_node.bootstrap import PushNode
from imc_push_node.protocol import server_options
from imc_push_node.settings import PushNodeSettings


def main() -> None:
    """Serve until SIGTERM, then send the gateways away."""
    settings = load_or_exit(PushNodeSettings, os.environ)
    logs.configure("push-node", settings.log_level)
    server.run(lambda: _serve(settings))


async def _serve(settings: PushNodeSettings) -> None:
    app = create_app(settings)

    async def drain() -> None:
        push_node: PushNode | None = getattr(app.state, "push_node", None)
        if push_node is not None:  # else the signal came before the node was open
            await push_node.drain.run()

    await server.serve(app, settings, drain=drain, **server_options(settings, app.state.registry))


if __name__ == "__main__":
    main()
