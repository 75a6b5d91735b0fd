"""docker-compose.yml speaks of variables, commands, ports and paths that are there."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from imc_command_api.migrations.settings import MigrateSettings
from imc_command_api.projector.settings import ProjectorSettings
from imc_command_api.settings import CommandApiSettings
from imc_push_node.settings import PushNodeSettings
from imc_query_api.settings import QueryApiSettings
from imc_service.settings import Settings, load

ROOT = Path(__file__).parents[1]
SETTINGS: dict[str, type[Settings]] = {
    "migrate": MigrateSettings,
    "command-api": CommandApiSettings,
    "projector": ProjectorSettings,
    "query-api": QueryApiSettings,
    "push-node": PushNodeSettings,
}
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
EDGE = (ROOT / "deploy/docker/edge.conf").read_text()


def environment_of(service: str) -> dict[str, str]:
    given: dict[str, Any] = SERVICES[service]["environment"]
    return {name: re.sub(r"\$\{(\w+):\?[^}]*\}", _secret, str(value)) for name, value in given.items()}


def _secret(named: re.Match[str]) -> str:
    """What a person may have put into ``.env``, another value for each name."""
    return named[1].ljust(32, "x")


@pytest.mark.parametrize("service", SETTINGS)
def test_a_service_gets_settings_that_it_reads_and_can_use(service: str):
    environment = environment_of(service)
    assert set(environment) <= set(SETTINGS[service].variables())
    # The images listen on all addresses of their container.
    load(SETTINGS[service], {**environment, "IMC_HOST": "0.0.0.0"})


@pytest.mark.parametrize("service", SETTINGS)
def test_a_service_runs_a_script_of_its_image(service: str):
    package = SERVICES[service]["build"]["args"]["PACKAGE"]
    project = tomllib.loads((ROOT / "services" / package / "pyproject.toml").read_text())
    assert SERVICES[service]["command"][0] in project["project"]["scripts"]
    assert (ROOT / "requirements" / f"{package}.txt").is_file()
    assert (ROOT / SERVICES[service]["build"]["dockerfile"]).is_file()


def test_the_edge_finds_each_service_at_its_port():
    upstreams = dict(re.findall(r"http://([a-z-]+):(\d+);", EDGE))
    assert set(upstreams) == {"command-api", "query-api", "push-node"}
    for service, port in upstreams.items():
        assert environment_of(service)["IMC_PORT"] == port


def test_services_wait_for_services_that_are_there_and_can_be_waited_for():
    for name, service in SERVICES.items():
        for awaited, how in service.get("depends_on", {}).items():
            assert awaited in SERVICES, name
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[awaited], f"{name} waits for {awaited}"


def test_no_secret_has_a_default():
    text = (ROOT / "docker-compose.yml").read_text()
    for secret in re.findall(r"\$\{[^}]*(?:PASSWORD|SECRET)[^}]*\}", text):
        assert ":?" in secret
