"""Quotas: how much each app may use.

They are a text in JSON, or the same in TOML::

    {"all": {"sends_per_second": 100}, "apps": {"demo": {"sends_per_second": 1000, "gateways": "unlimited"}}}

An app has the values of its own table, and for the rest those of ``all``. What neither has is not limited.
"""

import json
import tomllib
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from imc_contracts.fields import AppId

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
    """The quotas in force. All parts of a process share one object, and ask it each time."""

    def __init__(self) -> None:
        self._all = Quota()
        self._apps: dict[str, Quota] = {}

    def of(self, app_id: str) -> Quota:
        """What ``app_id`` may use."""
        return self._apps.get(app_id, self._all)

    def read(self, text: str, suffix: str = ".json") -> None:
        """Put those of ``text`` in force; ``suffix`` is that of its file, ``.toml`` for TOML.

        Raises `QuotasInvalid`, and then the old ones stay.
        """
        toml = suffix == ".toml"
        try:
            content: object = tomllib.loads(text) if toml else json.loads(text)
            read = _Text.model_validate(content)
        except ValidationError as error:
            raise QuotasInvalid("; ".join(_fault(fault) for fault in error.errors()[:3])) from None
        except (ValueError, RecursionError) as error:
            raise QuotasInvalid(f"not {'TOML' if toml else 'JSON'}: {error}") from None
        self._all = _Table().over(read.all)
        self._apps = {app_id: table.over(read.all) for app_id, table in read.apps.items()}


def _fault(fault: Any) -> str:
    place = ".".join(str(step) for step in fault["loc"] if step not in ("float", "int"))
    return f"{place}: {fault['msg']}" if place else str(fault["msg"])


def usable(text: str, suffix: str = ".json") -> str:
    """The same text, if `Quotas.read` takes it; raises as that does."""
    Quotas().read(text, suffix)
    return text


QuotasText = Annotated[str, AfterValidator(usable)]
"""The quotas of a setting."""
