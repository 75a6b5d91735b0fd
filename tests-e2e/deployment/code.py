"""The processes, their settings and paths, read from the code, for checks of manifests and other files."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import imc_command_api.http
import imc_push_node.http
import imc_query_api.http
from fastapi import APIRouter, FastAPI
from imc_command_api.migrations.settings import MigrateSettings
from imc_command_api.projector.settings import ProjectorSettings
from imc_command_api.settings import CommandApiSettings
from imc_contracts import log_changes
from imc_push_node.http import broadcast
from imc_push_node.settings import PushNodeSettings
from imc_query_api.settings import QueryApiSettings
from imc_service import health
from imc_service.settings import Settings
from prometheus_client import CollectorRegistry

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy/docker/Dockerfile"


@dataclass(frozen=True)
class Process:
    """A console script, its folder in services/, which has an image, and its settings."""

    script: str
    package: str
    settings: type[Settings]


PROCESSES = {
    process.script: process
    for process in (
        Process("imc-command-api", "command-api", CommandApiSettings),
        Process("imc-projector", "command-api", ProjectorSettings),
        Process("imc-query-api", "query-api", QueryApiSettings),
        Process("imc-push-node", "push-node", PushNodeSettings),
        Process("imc-migrate", "command-api", MigrateSettings),
    )
}


def project(package: str) -> dict[str, dict[str, str]]:
    """The table ``project`` of a package's pyproject.toml."""
    return tomllib.loads((ROOT / "services" / package / "pyproject.toml").read_text())["project"]


def image_environment() -> dict[str, str]:
    """The environment variables that the images set."""
    lines = re.findall(r"^ENV (.*)$", DOCKERFILE.read_text().split("\nFROM ")[-1], re.MULTILINE)
    return dict(re.findall(r"(\S+?)=(\S+)", " ".join(lines)))


@cache
def public_paths() -> dict[str, str]:
    """Each public path, with ids filled in, and the service that answers it."""
    routers = {
        "command-api": imc_command_api.http.routes(),
        "query-api": imc_query_api.http.routes(),
        "push-node": imc_push_node.http.routes(),
    }
    paths = {path: service for service, router in routers.items() for path in paths_of(router)}
    paths[broadcast.PATH] = "push-node"  # a WebSocket, which is not part of OpenAPI
    public = {
        path: service for path, service in paths.items() if path.startswith(("/v1/", "/chat/", "/notice/"))
    }
    return {re.sub(r"\{.*?\}", "some-id", path): service for path, service in public.items()}


@cache
def internal_paths() -> set[str]:
    """Paths that must not be reachable from outside."""
    monitoring = paths_of(health.routes(health.Readiness(), CollectorRegistry()))
    return {*monitoring, log_changes.PATH, "/docs", "/openapi.json", "/"}


def paths_of(router: APIRouter) -> set[str]:
    """The path templates of a router."""
    app = FastAPI()
    app.include_router(router)
    return set(app.openapi()["paths"])
