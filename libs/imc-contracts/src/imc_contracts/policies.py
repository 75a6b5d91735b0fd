"""The policies of apps: what is declared about each of them, in one file of TOML.

For example::

    [defaults]
    recall_window_seconds = 300
    retention_days = 365
    quotas.sends_per_second = 100

    [apps.demo]
    quotas = { sends_per_second = "unlimited", gateways = 5 }
    revoked = [{ subject = "backend-7" }, { issued_before = 2026-11-01T00:00:00Z }]

    [apps."live room"]
    suspended = true

An app has the values of its own table, and for the rest those of ``defaults``. Revocations of both count.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from imc_contracts.fields import AppId

MOST_SECONDS = 31_536_000
"""The longest time that a policy may name: a year."""

LEAST_DAYS, MOST_DAYS = 1, 36_500
"""The least and the longest age in days that a policy may name."""

DAY_MS = 86_400_000

FAULTS_TOLD = 3

_KINDS = ("float", "int", "constrained-float", "constrained-int", "literal['unlimited']")
"""Steps of a fault's place that name no key, but which kind of value was tried."""

_Unlimited = Literal["unlimited"]
_Rate = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0, le=2**53)]
_Days = Annotated[float, Field(ge=LEAST_DAYS, le=MOST_DAYS, allow_inf_nan=False)]
_Name = Annotated[str, Field(min_length=1, max_length=1024)]
_T = TypeVar("_T")


class PoliciesInvalid(ValueError):
    """Policies that can't be used; the message says where and why."""


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


@dataclass(frozen=True, slots=True)
class TokenMarks:
    """What a token says about itself: its claims ``jti``, ``sub`` and ``iat``. None where it says nothing.

    ``issued_at`` is in seconds of Unix time.
    """

    token_id: str | None = None
    subject: str | None = None
    issued_at: float | None = None


@dataclass(frozen=True, slots=True)
class Revocation:
    """Which tokens are revoked: that with an id, those of a subject, or all that were issued before a time.

    If several are given, a token must match them all.
    """

    token_id: str | None = None
    subject: str | None = None
    issued_before: float | None = None

    def covers(self, marks: TokenMarks) -> bool:
        """Whether a token with these marks is revoked. One that does not say when it was issued is old."""
        if self.token_id is not None and self.token_id != marks.token_id:
            return False
        if self.subject is not None and self.subject != marks.subject:
            return False
        if self.issued_before is None or marks.issued_at is None:
            return True
        return marks.issued_at < self.issued_before


@dataclass(frozen=True, slots=True)
class Policy:
    """What is declared about one app. ``recall_window_ms`` is None if nothing is said about it."""

    quota: Quota = Quota()
    recall_window_ms: int | None = None
    is_suspended: bool = False
    retention_ms: int | None = None
    """The age at which messages and notices are removed; None if they are kept."""
    abandoned_after_ms: int | None = None
    """How long after its newest message or notice a group is removed; None if it is kept."""

    @property
    def least_age_ms(self) -> int | None:
        """The least age at which a row may be removed; None if none ever is."""
        ages = (self.retention_ms, self.abandoned_after_ms)
        return min((age for age in ages if age is not None), default=None)


_UNDECLARED = Policy()


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class _QuotaTable(_Table):
    sends_per_second: _Rate | _Unlimited | None = None
    send_burst: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    gateways: _Count | _Unlimited | None = None
    backlog_bytes: _Count | _Unlimited | None = None

    def over(self, general: "_QuotaTable") -> Quota:
        """This table's values, and for the rest those of ``general``."""

        def value(name: str) -> Any:
            chosen = _first(getattr(self, name), getattr(general, name))
            return None if chosen == "unlimited" else chosen

        rate = cast("float | None", value("sends_per_second"))
        # A second's worth at once, unless it is told otherwise: clients do not send like clockwork.
        burst = value("send_burst") or max(1, int(rate or 1))
        return Quota(rate, burst, value("gateways"), value("backlog_bytes"))


class _RevocationTable(_Table):
    token_id: Annotated[_Name | None, Field(alias="jti")] = None
    subject: _Name | None = None
    issued_before: AwareDatetime | None = None

    @model_validator(mode="after")
    def _names_something(self) -> "_RevocationTable":
        if self.token_id is None and self.subject is None and self.issued_before is None:
            raise ValueError("it must have one of jti, subject and issued_before")
        return self

    def read(self) -> Revocation:
        """What it says."""
        before: datetime | None = self.issued_before
        return Revocation(self.token_id, self.subject, None if before is None else before.timestamp())


class _AppTable(_Table):
    quotas: _QuotaTable = _QuotaTable()
    recall_window_seconds: Annotated[int, Field(ge=1, le=MOST_SECONDS)] | None = None
    suspended: bool | None = None
    revoked: list[_RevocationTable] = []
    retention_days: _Days | _Unlimited | None = None
    abandoned_group_days: _Days | _Unlimited | None = None

    def over(self, general: "_AppTable") -> Policy:
        """This table's values, and for the rest those of ``general``."""
        seconds = _first(self.recall_window_seconds, general.recall_window_seconds)
        return Policy(
            self.quotas.over(general.quotas),
            None if seconds is None else seconds * 1000,
            bool(_first(self.suspended, general.suspended)),
            _milliseconds(_first(self.retention_days, general.retention_days)),
            _milliseconds(_first(self.abandoned_group_days, general.abandoned_group_days)),
        )

    def revocations(self) -> tuple[Revocation, ...]:
        """Which tokens it revokes."""
        return tuple(each.read() for each in self.revoked)


class _File(_Table):
    defaults: _AppTable = _AppTable()
    apps: dict[AppId, _AppTable] = {}


@dataclass(frozen=True, slots=True)
class _Content:
    """What a file says. The apps have tables of their own; ``default`` is the policy of all others."""

    default: Policy = _UNDECLARED
    apps: Mapping[str, Policy] = field(default_factory=dict[str, Policy])
    revoked_everywhere: tuple[Revocation, ...] = ()
    revoked: Mapping[str, tuple[Revocation, ...]] = field(default_factory=dict[str, tuple[Revocation, ...]])


class Policies:
    """The policies in force. All parts of a process share one object, and ask it each time."""

    def __init__(self) -> None:
        self._content = _Content()
        self.version = 0
        """Grows with each change."""

    def of(self, app_id: str) -> Policy:
        """The policy of an app."""
        return self._content.apps.get(app_id, self._content.default)

    @property
    def default(self) -> Policy:
        """The policy of apps that have no table of their own."""
        return self._content.default

    @property
    def named(self) -> Mapping[str, Policy]:
        """The policies of apps that have a table of their own."""
        return self._content.apps

    @property
    def longest_recall_window_ms(self) -> int:
        """The longest recall window that is declared for any app; 0 if there is none."""
        return max(
            each.recall_window_ms or 0 for each in (self._content.default, *self._content.apps.values())
        )

    def is_revoked_everywhere(self, marks: TokenMarks) -> bool:
        """Whether the defaults revoke a token."""
        return _any_covers(self._content.revoked_everywhere, marks)

    def apps_that_revoked(self, marks: TokenMarks) -> frozenset[str]:
        """The apps whose own tables revoke a token."""
        return frozenset(app_id for app_id, each in self._content.revoked.items() if _any_covers(each, marks))

    def read(self, text: str, suffix: str = ".toml") -> None:
        """Put the policies of ``text`` in force. ``suffix``, of its file, is of no matter.

        Raises `PoliciesInvalid`, and then the old ones stay.
        """
        try:
            read = _File.model_validate(tomllib.loads(text))
        except ValidationError as error:
            raise PoliciesInvalid("; ".join(_fault(each) for each in error.errors()[:FAULTS_TOLD])) from None
        except (ValueError, RecursionError) as error:
            raise PoliciesInvalid(f"not TOML: {error}") from None
        default = _AppTable().over(read.defaults)
        apps = {app_id: table.over(read.defaults) for app_id, table in read.apps.items()}
        _check_ages("defaults", default)
        for app_id, policy in apps.items():
            _check_ages(f"apps.{app_id}", policy)
        # In one step, since it is read in a thread of its own.
        self._content = _Content(
            default,
            apps,
            read.defaults.revocations(),
            {app_id: table.revocations() for app_id, table in read.apps.items() if table.revoked},
        )
        self.version += 1


def _check_ages(place: str, policy: Policy) -> None:
    """Raise `PoliciesInvalid` if messages would be removed while they may still be recalled."""
    age, window = policy.least_age_ms, policy.recall_window_ms
    if age is not None and window is not None and age < window:
        raise PoliciesInvalid(
            f"{place}: retention_days and abandoned_group_days must be at least recall_window_seconds, "
            f"which is {window / DAY_MS:g} days: a removed message can't be recalled"
        )


def _any_covers(revocations: Iterable[Revocation], marks: TokenMarks) -> bool:
    return any(each.covers(marks) for each in revocations)


def _milliseconds(days: "float | _Unlimited | None") -> int | None:
    return None if days is None or days == "unlimited" else int(days * DAY_MS)


def _first(own: _T | None, general: _T | None) -> _T | None:
    return general if own is None else own


def _fault(fault: Any) -> str:
    place = ".".join(str(step) for step in fault["loc"] if step not in _KINDS)
    return f"{place}: {fault['msg']}" if place else str(fault["msg"])


def usable(text: str, suffix: str = ".toml") -> str:
    """The same text, if `Policies.read` takes it; raises as that does."""
    Policies().read(text, suffix)
    return text
