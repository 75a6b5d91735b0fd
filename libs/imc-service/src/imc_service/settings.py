"""Settings from environment variables: read once, checked at the start, frozen.

A model's field ``redis_url`` is the variable ``IMC_REDIS_URL``. Every field has a description, from which the
tables of settings in the documentation are made.
"""

import sys
from collections.abc import Mapping
from typing import Any, Literal, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Model = TypeVar("Model", bound="Settings")

EXIT_CODE = 2
"""The exit status of a process that was started with settings it can't use."""


class SettingsError(Exception):
    """The settings can't be used. The message names every fault, and shows no value."""


class Settings(BaseModel):
    """Settings of one process. Values may be secret: they never appear in an error or a log."""

    model_config = ConfigDict(
        alias_generator=lambda name: f"IMC_{name.upper()}",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
        extra="ignore",
    )

    @classmethod
    def variables(cls) -> dict[str, str]:
        """Each variable this process reads, with what it means."""
        return {field.alias or name: field.description or "" for name, field in cls.model_fields.items()}


def port(default: int) -> Any:
    """The field for the port to listen on."""
    return Field(default, ge=1, le=65535, description="port to listen on")


class ServerSettings(Settings):
    """What every process that listens reads. Each has its own default port."""

    host: str = Field("127.0.0.1", description="address or name to listen on; `::` is all of IPv6 and IPv4")
    port: int = port(8000)
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error"
    )
    drain_delay_seconds: float = Field(
        0,
        ge=0,
        description="how long the process goes on as before, though not ready, when it is told to stop: "
        "until whoever routes to it has noticed",
    )


def load(model: type[Model], environment: Mapping[str, str]) -> Model:
    """Read ``model`` from ``environment``; an empty variable counts as absent.

    Raises `SettingsError` with one line for each fault.
    """
    known = {name: environment[name] for name in model.variables() if environment.get(name)}
    try:
        return model.model_validate(known)
    except ValidationError as error:
        faults = [_fault(model, fault["loc"], fault["type"], fault["msg"]) for fault in error.errors()]
        raise SettingsError("the settings can't be used:\n" + "\n".join(faults)) from None


def load_or_exit(model: type[Model], environment: Mapping[str, str]) -> Model:
    """Read ``model``, or end the process with the faults on standard error and exit status 2."""
    try:
        return load(model, environment)
    except SettingsError as error:
        exit_with(error)


def exit_with(error: SettingsError) -> NoReturn:
    """End the process with the faults on standard error and exit status 2."""
    sys.stderr.write(f"{error}\n")
    sys.exit(EXIT_CODE)


def _fault(model: type[Settings], location: tuple[int | str, ...], kind: str, message: str) -> str:
    name = str(location[0]) if location else "settings"
    meaning = model.variables().get(name, "")
    problem = "is missing" if kind == "missing" else message.removeprefix("Value error, ")
    return f"  {name}: {problem}" + (f" ({meaning})" if meaning else "")
