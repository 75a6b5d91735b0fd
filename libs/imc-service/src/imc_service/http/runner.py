"""Runs a process that listens: arguments, settings, logs, application, server, end."""

import contextlib
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from imc_service import logs
from imc_service.command_line import Program
from imc_service.http import server
from imc_service.http.application import Opened
from imc_service.settings import ServerSettings, SettingsError, exit_with, load
from imc_service.standard_streams import standard_streams

Environment = Mapping[str, str]
Model = TypeVar("Model", bound=ServerSettings)


@dataclass(frozen=True)
class Service:
    """A process that listens, once its settings are read."""

    settings: ServerSettings

    create_app: Callable[[], FastAPI]
    """Builds the application with `build_app`."""

    server_options: Callable[[CollectorRegistry], dict[str, Any]]
    """Options for `uvicorn.Config`, given the registry of the application."""

    surroundings: AbstractContextManager[None] = field(default_factory=contextlib.nullcontext[None])
    """What is open from before the application starts until it has ended."""

    on_started: Callable[[], None] | None = None
    """Called once requests are answered."""

    on_stopping: Callable[[], None] | None = None
    """Called when it is told to stop."""


def service_of(
    model: type[Model],
    create_app: Callable[[Model], FastAPI],
    server_options: Callable[[Model, CollectorRegistry], dict[str, Any]],
) -> Callable[[Environment], Service]:
    """A function that reads a ``model`` from an environment and returns the service.

    It raises `SettingsError`.
    """

    def read(environment: Environment) -> Service:
        settings = load(model, environment)
        return Service(settings, partial(create_app, settings), partial(server_options, settings))

    return read


def run_service(program: Program, read: Callable[[Environment], Service]) -> None:
    """Run a service until SIGTERM or SIGINT. `server.serve` says how it ends.

    ``read`` makes it from the environment. If it raises `SettingsError`, the process ends with the faults on
    standard error and exit status 2. Exit status 1 means that it could not start, 0 that it ended in order.
    """
    with standard_streams():
        program.parser().parse_args()
        run_in(os.environ, program, read)


def run_in(environment: Environment, program: Program, read: Callable[[Environment], Service]) -> None:
    """As `run_service`, with the settings of ``environment`` and without a command line."""
    try:
        service = read(environment)
    except SettingsError as error:
        exit_with(error)
    logs.configure(program.service, service.settings.log_level)
    with service.surroundings:
        server.run(lambda: _serve(service))


async def _serve(service: Service) -> None:
    app = service.create_app()

    async def drain() -> None:
        opened: Opened | None = getattr(app.state, "opened", None)
        if opened is not None and opened.drain is not None:  # None if the signal came before it was open
            await opened.drain()

    await server.serve(
        app,
        service.settings,
        drain=drain,
        on_started=service.on_started,
        on_stopping=service.on_stopping,
        **service.server_options(app.state.registry),
    )
