"""The file of apps: the policies that a process keeps to, read again whenever the file changes."""

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated

from imc_contracts.policies import Policies, usable
from prometheus_client import CollectorRegistry, Gauge
from pydantic import Field

from imc_service.health import Readiness
from imc_service.settings import Settings
from imc_service.watched_file import FileFault, in_force, usable_by


class AppsFileSettings(Settings):
    """What every process that keeps to the policies of apps reads."""

    apps_file: Annotated[Path, usable_by(usable)] | None = Field(
        None,
        description="a file of TOML that says what holds for apps: quotas, recall window, retention, "
        "suspension, revoked tokens; in force within two seconds of a change; see docs/apps.md",
    )


class AppsFile:
    """The policies of one process. They are empty without a file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.policies = Policies()

    @contextlib.asynccontextmanager
    async def in_force(self, readiness: Readiness, registry: CollectorRegistry) -> AsyncGenerator[None]:
        """Keep the file in force while the context lasts, and warn while it can't be used.

        Raises `ValueError` if it can't be used at the start.
        """
        stale = Gauge(
            "imc_apps_file_stale",
            "1 while the file of apps can't be used, and an older content is in force.",
            registry=registry,
        )
        if self._path is None:
            yield
            return
        fault = FileFault(stale)
        readiness.warn("apps file", fault.words)
        async with in_force(self.policies.read, self._path, fault):
            yield
