"""Whether the environment holds settings that the processes can use."""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence

from imc_command_api.dead_letters.settings import DeadLettersSettings
from imc_command_api.migrations.settings import MigrateSettings
from imc_command_api.projector.settings import ProjectorSettings
from imc_command_api.settings import CommandApiSettings
from imc_service.auth.settings import TokenSettings
from imc_service.settings import Settings, SettingsError, load
from imc_service.urls import DatabaseUrl, RedisUrl
from pydantic import Field

from imc_cli.checks.findings import Finding
from imc_cli.failures import MissingPart

PART = "settings"
PROCESSES = ("command-api", "projector", "query-api", "push-node", "migrate", "standalone")
OWN = ("IMC_URL", "IMC_TOKEN", "IMC_TOKEN_FILE")
"""What `imc` reads itself."""

_ALIKE = 0.85
"""How like a variable that is read another one is, if it is likely to be a slip."""


class CheckSettings(Settings):
    """What `imc check` reads to find the servers."""

    redis_url: RedisUrl | None = Field(None, description="the Redis that holds the logs")
    database_url: DatabaseUrl | None = Field(
        None, description="the database that the logs are projected into"
    )
    read_database_url: DatabaseUrl | None = Field(
        None, description="a replica of IMC_DATABASE_URL that answers queries while it is fresh"
    )
    ack_replicas: int = Field(
        0, ge=0, le=16, description="replicas of Redis that must have a send before it is acknowledged"
    )


def of_processes(environment: Mapping[str, str], processes: Sequence[str]) -> Iterator[Finding]:
    """Read the settings of each process as it would itself. Raises `MissingPart`."""
    for process in processes:
        try:
            _reader_of(process)(environment)
        except SettingsError as error:
            _, *faults = str(error).splitlines()
            yield from (Finding(PART, process, "wrong", fault.strip()) for fault in faults)
        else:
            yield Finding(PART, process, "ok", "it would start with these")


def slips(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Variables that nobody reads, and that look like one that is read."""
    known = _known_variables()
    for name in sorted(environment):
        if name.startswith("IMC_") and name not in known:
            for alike in difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE):
                yield Finding(PART, name, "warning", "nobody reads this variable", f"did you mean {alike}?")


def _known_variables() -> set[str]:
    models: list[type[Settings]] = [CheckSettings, DeadLettersSettings, TokenSettings]
    for process in PROCESSES:
        try:
            models += _models_of(process)
        except MissingPart:
            continue
    return {*OWN, *(variable for model in models for variable in model.variables())}


def _reader_of(process: str) -> Callable[[Mapping[str, str]], object]:
    if process == "standalone":
        return _read_standalone
    [model] = _models_of(process)
    return lambda environment: load(model, environment)


def _read_standalone(environment: Mapping[str, str]) -> None:
    _models_of("standalone")
    from imc_standalone.settings import StandaloneSettings, load_parts

    load(StandaloneSettings, environment)
    load_parts(environment)


def _models_of(process: str) -> list[type[Settings]]:
    """The settings of a process. Those of other packages than command-api's may not be installed."""
    try:
        match process:
            case "command-api":
                return [CommandApiSettings]
            case "projector":
                return [ProjectorSettings]
            case "migrate":
                return [MigrateSettings]
            case "query-api":
                from imc_query_api.settings import QueryApiSettings

                return [QueryApiSettings]
            case "push-node":
                from imc_push_node.settings import PushNodeSettings

                return [PushNodeSettings]
            case _:
                from imc_standalone.settings import StandaloneSettings

                return [StandaloneSettings]
    except ModuleNotFoundError:
        raise MissingPart(f"imc-{process}") from None
