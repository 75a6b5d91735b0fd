"""Tests that docker-compose.yml is valid, and names only variables, commands and ports that exist."""

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose
from imc_push_node.cluster.drain import SETTLE_SECONDS
from imc_service.http.server import SHUTDOWN_SECONDS
from imc_service.settings import load

from deployment.code import DOCKERFILE, PROCESSES, ROOT, image_environment, project

FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
EDGE = (ROOT / "deploy/docker/edge.conf").read_text()


def environment_of(service: str) -> dict[str, str]:
    given: dict[str, Any] = SERVICES[service]["environment"]
    filled = {name: re.sub(r"\$\{(\w+):[?-][^}]*\}", _filled_in, str(value)) for name, value in given.items()}
    return {**image_environment(), **filled}


def _filled_in(variable: re.Match[str]) -> str:
    """A value that ``.env`` may contain, different for each name."""
    return variable[1].lower().replace("_", "").ljust(32, "x")


def check(compose: dict[str, Any]) -> None:
    """Raise `ValueError` if Compose would reject the file, for example because of an unknown field."""
    parsed = PyCompose.from_json(json.dumps(compose))
    for validate in (parsed.validate_networks, parsed.validate_volumes, parsed.validate_secrets):
        validate()


def test_the_file_is_valid():
    check(COMPOSE)


@pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not on the PATH")
def test_docker_compose_accepts_the_file(monkeypatch: pytest.MonkeyPatch):
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("docker compose is not installed")
    for secret in re.findall(r"\$\{(\w+):\?", FILE.read_text()):
        monkeypatch.setenv(secret, "x")
    done = subprocess.run(
        ["docker", "compose", "--file", FILE, "config", "--quiet"], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


PLANTED: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("comand", lambda it: it["services"]["projector"].update(comand=["x"])),
    ("interva", lambda it: it["services"]["redis"]["healthcheck"].update(interva="1s")),
    (
        "service_helthy",
        lambda it: it["services"]["edge"]["depends_on"]["query-api"].update(condition="service_helthy"),
    ),
    ("replica", lambda it: it["services"]["command-api"]["deploy"].update(replica=2)),
    ("backend", lambda it: it["services"]["edge"].update(networks=["backend"])),
    ("sevices", lambda it: it.update(sevices={})),
]


@pytest.mark.parametrize(("fault", "plant"), PLANTED, ids=[fault for fault, _ in PLANTED])
def test_a_planted_error_is_found(fault: str, plant: Callable[[dict[str, Any]], object]):
    broken = copy.deepcopy(COMPOSE)
    plant(broken)
    with pytest.raises(ValueError, match=fault):
        check(broken)


@pytest.mark.parametrize("service", OURS)
def test_a_service_gets_valid_settings_that_it_reads(service: str):
    process = PROCESSES[SERVICES[service]["command"][0]]
    environment = environment_of(service)
    load(process.settings, environment)
    assert set(environment) - set(image_environment()) <= set(process.settings.variables())


@pytest.mark.parametrize("service", OURS)
def test_a_service_runs_a_script_of_its_image(service: str):
    build = SERVICES[service]["build"]
    package = build["args"]["PACKAGE"]
    assert PROCESSES[SERVICES[service]["command"][0]].package == package
    assert SERVICES[service]["command"][0] in project(package)["scripts"]
    assert SERVICES[service]["image"] == f"imc-{package}:{project(package)['version']}"
    assert ROOT / build["dockerfile"] == DOCKERFILE


@pytest.mark.parametrize("service", OURS)
def test_a_service_drops_rights_and_has_time_to_stop(service: str):
    if service == "migrate":
        return
    given = SERVICES[service]
    assert (given["read_only"], given["cap_drop"]) == (True, ["ALL"])
    assert given["security_opt"] == ["no-new-privileges:true"]
    needed = float(environment_of(service).get("IMC_DRAIN_DELAY_SECONDS", 0)) + SHUTDOWN_SECONDS
    process = PROCESSES[given["command"][0]]
    drain = process.settings.model_fields.get("drain_seconds")
    needed += 0 if drain is None else drain.default + SETTLE_SECONDS
    assert float(given["stop_grace_period"].removesuffix("s")) > needed


def test_the_services_form_a_small_production_installation():
    count = {
        name: service.get("deploy", {}).get("replicas", 1)
        for name, service in SERVICES.items()
        if "profiles" not in service
    }
    assert count.pop("command-api") == 2
    assert set(count) == {
        "mariadb",
        "redis",
        "migrate",
        "projector",
        "query-api",
        "push-node-0",
        "push-node-1",
        "edge",
    }
    redis = " ".join(SERVICES["redis"]["command"])
    for option in (
        "--appendonly yes",
        "--appendfsync everysec",
        "--maxmemory-policy noeviction",
        "--maxmemory 1gb",
    ):
        assert option in redis


def test_services_call_existing_hosts_and_ports():
    port = image_environment()["IMC_PORT"]
    names = {*SERVICES, *SERVICES["push-node-0"]["networks"]["default"]["aliases"]}
    text = FILE.read_text() + EDGE.replace("$node", "0")
    urls = re.findall(r"http://([a-z0-9-]+):(\d+)", text)
    assert {host for host, _ in urls} >= {"command-api", "query-api", "push-node", "push-node-0"}
    for host, called in urls:
        if host != "localhost":
            assert host in names
            assert called == port


def test_prometheus_scrapes_each_process_and_exporter():
    assert [name for name, service in SERVICES.items() if service.get("profiles") == ["monitoring"]] == [
        "redis-exporter",
        "mysqld-exporter",
        "prometheus",
        "grafana",
    ]
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    targets = {each["job_name"]: each["dns_sd_configs"] for each in scraped}
    port = int(image_environment()["IMC_PORT"])
    ports = dict.fromkeys(("command-api", "projector", "query-api", "push-node"), port)
    ports |= {"redis-exporter": 9121, "mysqld-exporter": 9104}
    assert targets == {name: [{"names": [name], "type": "A", "port": port}] for name, port in ports.items()}
    assert set(ports) <= {*SERVICES, *SERVICES["push-node-0"]["networks"]["default"]["aliases"]}


def test_grafana_has_the_dashboard_and_its_figures():
    mounted = {
        inside: ROOT / outside
        for outside, inside, _ in (volume.split(":") for volume in SERVICES["grafana"]["volumes"])
    }
    folder = "/etc/grafana/provisioning"
    [source] = yaml.safe_load(mounted[f"{folder}/datasources/imc.yml"].read_text())["datasources"]
    scheme, _, address = source["url"].partition("://")
    assert (source["type"], scheme, address) == ("prometheus", "http", "prometheus:9090")
    assert SERVICES["prometheus"]["ports"] == ["127.0.0.1:9090:9090"]
    [provider] = yaml.safe_load(mounted[f"{folder}/dashboards/imc.yml"].read_text())["providers"]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(home).parent == Path(provider["options"]["path"])
    assert mounted[home] == ROOT / "deploy/grafana/imc.json"


def test_services_depend_on_services_with_health_checks():
    for name, service in SERVICES.items():
        for awaited, how in service.get("depends_on", {}).items():
            assert awaited in SERVICES, name
            if how["condition"] == "service_healthy":
                has_check = "healthcheck" in SERVICES[awaited] or "build" in SERVICES[awaited]
                assert has_check, f"{name} waits for {awaited}"
    assert "HEALTHCHECK" in DOCKERFILE.read_text()


def test_mounted_files_exist():
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            if volume.startswith("./"):
                assert Path(ROOT / volume.partition(":")[0]).exists()


def test_no_secret_has_a_default():
    for secret in re.findall(r"\$\{[^}]*(?:PASSWORD|SECRET)[^}]*\}", FILE.read_text()):
        assert ":?" in secret
