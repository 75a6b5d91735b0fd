"""The settings of standalone: its own, and those of the parts that it runs."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imc_command_api.projector.settings import ProjectorSettings
from imc_command_api.settings import CommandApiSettings
from imc_push_node.settings import PushNodeSettings, drain_seconds
from imc_query_api.settings import QueryApiSettings
from imc_service.auth.settings import AccessSettings
from imc_service.http.guard.settings import GuardSettings
from imc_service.settings import Model, SettingsError, load, port
from imc_service.urls import DatabaseUrl, RedisUrl
from pydantic import Field, SecretStr

OWN_URL = "http://standalone"
"""Where the parts call each other: within the process, so that any name will do."""

PARTS = (CommandApiSettings, ProjectorSettings, QueryApiSettings, PushNodeSettings)
"""The settings of the parts."""

MADE_UP = frozenset({"IMC_COMMAND_API_URL", "IMC_QUERY_API_URL", "IMC_SERVICE_SECRET"})
"""Variables that parts read and standalone sets itself: the parts call each other within the process."""


class StandaloneSettings(AccessSettings, GuardSettings):
    """Read from the environment; with nothing set everything is embedded."""

    port: int = port(8000)
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning", description="debug, info, warning or error"
    )
    data_dir: Path = Field(Path(".imc-data"), description="folder of the embedded log and database")
    redis_url: RedisUrl | None = Field(None, description="the Redis that holds the logs; else embedded")
    database_url: DatabaseUrl | None = Field(None, description="the database; else SQLite in the data folder")
    drain_seconds: float = drain_seconds(1)  # there is no other node that could be overloaded

    @property
    def is_embedded(self) -> bool:
        """Whether log or database, or both, live in the data folder."""
        return self.redis_url is None or self.database_url is None


@dataclass(frozen=True)
class PartSettings:
    """The settings of each part, as its own process would read them."""

    command_api: CommandApiSettings
    projector: ProjectorSettings
    query_api: QueryApiSettings
    push_node: PushNodeSettings

    def on(self, redis_url: str, database_url: str) -> "PartSettings":
        """The same, with log and database where they are."""
        log = {"redis_url": SecretStr(redis_url)}
        both = {**log, "database_url": SecretStr(database_url)}
        return PartSettings(
            self.command_api.model_copy(update=both),
            self.projector.model_copy(update=both),
            self.query_api.model_copy(update={"database_url": SecretStr(database_url)}),
            self.push_node.model_copy(update=log),
        )


def load_parts(environment: Mapping[str, str]) -> PartSettings:
    """Read the settings of all parts; raises `SettingsError` with every fault.

    Where log and database are not given their addresses are made up: `PartSettings.on` puts in the true ones.
    Of the secret that services know each other by nothing is used: the parts call each other in the process.
    """
    variables = {
        "IMC_REDIS_URL": "unix:///embedded",
        "IMC_DATABASE_URL": "sqlite:///embedded",
        "IMC_DRAIN_SECONDS": str(StandaloneSettings.model_fields["drain_seconds"].default),
        **{name: value for name, value in environment.items() if value},
        "IMC_COMMAND_API_URL": OWN_URL,
        "IMC_QUERY_API_URL": OWN_URL,
        "IMC_SERVICE_SECRET": secrets.token_hex(),
    }
    faults: list[str] = []

    def read(model: type[Model]) -> Model:
        try:
            return load(model, variables)
        except SettingsError as error:
            faults.append(str(error))
            return model.model_construct()

    parts = PartSettings(
        read(CommandApiSettings), read(ProjectorSettings), read(QueryApiSettings), read(PushNodeSettings)
    )
    if faults:
        raise SettingsError("\n".join(dict.fromkeys(faults)))
    return parts
