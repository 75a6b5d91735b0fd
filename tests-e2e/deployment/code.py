"""The processes, their settings and paths, read from the code, for checks of manifests and other files."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import imc_command_api.http
import imc_push_node.http
import imc_query_api.http
from fastapi import APIRouter
from imc_command_api.migrations.settings import MigrateSettings
from imc_command_api.projector.settings import ProjectorSettings
from imc_command_api.settings import CommandApiSettings
from imc_contracts import log_changes
from imc_push_node.settings import PushNodeSettings
from imc_query_api.settings import QueryApiSettings
from imc_service import health
from imc_service.settings import Settings
from imc_testkit.calls import COMMAND_PATHS, QUERY_PATHS
from prometheus_client import CollectorRegistry
from starlette.routing import Route, WebSocketRoute

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy/docker/Dockerfile"
GATEWAY_PATH = "/v1/gateways/some-id/some-id"

OPERATION_PATHS = (
    "/v1/apps",
    "/v1/dead-letters",
    "/v1/dead-letters/drop",
    "/v1/dead-letters/replay",
    "/v1/commands/erase-user",
    "/v1/commands/erase-group",
    "/v1/commands/erase-app",
    "/v1/erasures",
    "/v1/installation",
    "/v1/installation/activity",
)
PUBLIC_PATHS: dict[str, tuple[str, ...]] = {
    "command-api": (*COMMAND_PATHS, *OPERATION_PATHS),
    "query-api": QUERY_PATHS,
    "push-node": (
        GATEWAY_PATH,
        GATEWAY_PATH + "/node",
        GATEWAY_PATH + "/events",
        GATEWAY_PATH + "/disconnect",
        "/v1/gateways",
        "/chat/message/broadcast/some-id/some-id",
    ),
}
"""What clients are promised: each path, with ids filled in, by the service that answers it."""
CONSOLE = {"/console/": "query-api"}
"""The console, and the service that answers it."""

JAVA_DOOR = ("/chat/", "/notice/")
"""Below these are the paths of the Java version, which may end in a slash."""


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
def promised_paths() -> dict[str, str]:
    """Each path that clients are promised, and the service that answers it."""
    return {path: service for service, paths in PUBLIC_PATHS.items() for path in paths}


@cache
def public_paths() -> dict[str, str]:
    """Each public path and its service, also in the forms with a slash at the end, and the console."""
    promised = promised_paths()
    ending_in_a_slash = {
        f"{path}/": service for path, service in promised.items() if path.startswith(JAVA_DOOR)
    }
    return promised | ending_in_a_slash | CONSOLE


@cache
def routed_paths() -> dict[str, str]:
    """Each public path of the routers, with ids filled in, and the service that answers it."""
    routers = {
        "command-api": imc_command_api.http.routes(),
        "query-api": imc_query_api.http.routes(),
        "push-node": imc_push_node.http.routes(),
    }
    return {
        re.sub(r"\{.*?\}", "some-id", path): service
        for service, router in routers.items()
        for path in paths_of(router)
        if path.startswith(("/v1/", *JAVA_DOOR))
    }


@cache
def internal_paths() -> set[str]:
    """Paths that must not be reachable from outside."""
    monitoring = paths_of(health.routes(health.Readiness(), CollectorRegistry()))
    return {*monitoring, log_changes.PATH, "/docs", "/openapi.json", "/"}


def paths_of(router: APIRouter) -> set[str]:
    """The path templates of a router and of all that it includes. OpenAPI would lack those of WebSockets."""
    paths = set[str]()
    for route in router.routes:
        match route:
            case Route() | WebSocketRoute():
                paths.add(route.path)
            case _:
                paths |= paths_of(route.original_router)  # pyright: ignore[reportAttributeAccessIssue]
    return paths
