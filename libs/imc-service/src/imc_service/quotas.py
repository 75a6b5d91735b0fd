"""How much each app may use: quotas, given once by the environment or kept in a file that is read again.

The same text in JSON or, in a file called ``*.toml``, in TOML::

    {"all": {"sends_per_second": 100}, "apps": {"demo": {"sends_per_second": 1000, "gateways": "unlimited"}}}

An app has the values of its own table, and for the rest those of ``all``. What neither gives is not limited.
"""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from imc_contracts.fields import AppId
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from imc_service.settings import Settings

_Unlimited = Literal["unlimited"]
_Rate = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0, le=2**53)]


class QuotasInvalid(ValueError):
    """Quotas that can't be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What one app may use; None is without limit.

    ``sends_per_second`` is kept over time, ``send_burst`` may come at once. ``gateways`` may be connected to
    all nodes together. ``backlog_bytes`` may wait for the database.
    """

    sends_per_second: float | None = None
    send_burst: int = 1
    gateways: int | None = None
    backlog_bytes: int | None = None


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    sends_per_second: _Rate | _Unlimited | None = None
    send_burst: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    gateways: _Count | _Unlimited | None = None
    backlog_bytes: _Count | _Unlimited | None = None

    def over(self, general: "_Table") -> Quota:
        """This table's values, and for the rest those of ``general``."""

        def value(name: str) -> Any:
            own = getattr(self, name)
            chosen = getattr(general, name) if own is None else own
            return None if chosen == "unlimited" else chosen

        rate = cast("float | None", value("sends_per_second"))
        # A second's worth at once, unless it is told otherwise: clients do not send like clockwork.
        burst = value("send_burst") or max(1, int(rate or 1))
        return Quota(rate, burst, value("gateways"), value("backlog_bytes"))


class _Text(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    all: _Table = _Table()
    apps: dict[AppId, _Table] = {}


class Quotas:
    """The quotas in force. Every part of a process holds the same one, and asks it anew each time."""

    def __init__(self) -> None:
        self._all = Quota()
        self._apps: dict[str, Quota] = {}

    def of(self, app_id: str) -> Quota:
        """What ``app_id`` may use."""
        return self._apps.get(app_id, self._all)

    def read(self, text: str, *, toml: bool = False) -> None:
        """Put those of ``text`` in force; raises `QuotasInvalid`, and then the old ones stay."""
        try:
            content: object = tomllib.loads(text) if toml else json.loads(text)
            read = _Text.model_validate(content)
        except ValidationError as error:
            raise QuotasInvalid("; ".join(_fault(fault) for fault in error.errors()[:3])) from None
        except (ValueError, RecursionError) as error:
            raise QuotasInvalid(f"not {'TOML' if toml else 'JSON'}: {error}") from None
        self._all = _Table().over(read.all)
        self._apps = {app_id: table.over(read.all) for app_id, table in read.apps.items()}

    def read_file(self, path: Path) -> None:
        """Put those of a file in force; raises as `read` does, also for a file that can't be read."""
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise QuotasInvalid(f"it can't be read ({type(error).__name__})") from None
        self.read(text, toml=path.suffix == ".toml")


def _fault(fault: Any) -> str:
    place = ".".join(str(step) for step in fault["loc"] if step not in ("float", "int"))
    return f"{place}: {fault['msg']}" if place else str(fault["msg"])


def _usable_text(text: object) -> object:
    if isinstance(text, str):
        Quotas().read(text)
    return text


def _usable_file(path: Path) -> Path:
    Quotas().read_file(path)
    return path


class QuotaSettings(Settings):
    """Where a process finds the quotas of apps. What can't be used at the start stops the start."""

    quotas: Annotated[str, BeforeValidator(_usable_text)] | None = Field(
        None, description="what apps may use, as JSON; see docs/security.md"
    )
    quotas_file: Annotated[Path, AfterValidator(_usable_file)] | None = Field(
        None, description="a file of the same, JSON or TOML, in force within two seconds of a change"
    )
