"""The process standalone."""

import contextlib
from functools import partial

from imc_push_node.app import server_options
from imc_service.http.runner import Environment, Service, run_in, run_service
from imc_service.settings import load
from imc_service.standard_streams import announce

from imc_standalone import data_folder
from imc_standalone.app import PROGRAM, create_app
from imc_standalone.settings import StandaloneSettings, load_parts
from imc_standalone.welcome import farewell, welcome


def main() -> None:
    """Serve everything until SIGTERM or Ctrl-C."""
    run_service(PROGRAM, _service)


def run(environment: Environment) -> None:
    """The same with the settings of ``environment``, for a program that has a command line of its own."""
    run_in(environment, PROGRAM, _service)


def _service(environment: Environment) -> Service:
    settings, parts = load(StandaloneSettings, environment), load_parts(environment)
    return Service(
        settings,
        partial(create_app, settings, parts),
        partial(server_options, parts.push_node, limits=settings),
        data_folder.locked(settings.data_dir) if settings.is_embedded else contextlib.nullcontext(),
        lambda: announce(welcome(settings)),
        lambda: announce(farewell(settings)),
    )


if __name__ == "__main__":
    main()
