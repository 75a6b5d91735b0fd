"""Tests that the manifests of deploy/k8s are valid, and match the code."""

from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from deployment import edges, monitoring, network, pods, scaling, schemas
from deployment.code import ROOT, promised_paths, routed_paths
from deployment.manifests import K8S, OVERLAYS, Installation, files, render, secrets_of
from deployment.monitoring import Metrics
from deployment.planting import needs_kubectl

PROCESSES = ("command-api", "projector", "query-api", "push-node")
RESOURCES = {
    name: [each for each in documents if "apiVersion" in each] for name, documents in files().items()
}


@pytest.mark.parametrize("name", RESOURCES)
def test_the_documents_of_a_file_are_valid(name: str):
    assert [fault for document in RESOURCES[name] for fault in schemas.faults(document)] == []


def test_every_file_belongs_to_an_installation():
    used = {K8S / "README.md", K8S / "push-nodes.sh", *K8S.glob("overlays/*/secrets*")}
    for path in [*K8S.rglob("kustomization.yaml"), ROOT / "deploy/grafana/kustomization.yaml"]:
        made: dict[str, Any] = yaml.safe_load(path.read_text())
        patches = [patch["path"] for patch in made.get("patches", []) if "path" in patch]
        files = [file for each in made.get("configMapGenerator", []) for file in each.get("files", [])]
        resources = [*made.get("resources", []), *made.get("components", [])]
        named = [path.parent / each for each in [*resources, *patches, *files]]
        assert [each for each in named if not each.exists()] == []
        used |= {path, *(each.resolve() for each in named)}
    assert [path for path in K8S.rglob("*") if path.is_file() and path not in used] == []


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_matches_the_code(overlay: str, metrics: dict[str, Metrics]):
    installation = Installation(render(overlay), secrets_of(overlay))
    assert [fault for document in installation.documents for fault in schemas.faults(document)] == []
    for check in (pods, network, edges, scaling):
        assert list(check.faults(installation)) == []
    assert list(monitoring.faults(installation, metrics)) == []


@needs_kubectl
def test_each_overlay_has_its_number_of_pods():
    for overlay in OVERLAYS:
        installation = Installation(render(overlay), secrets_of(overlay))
        count = {
            workload.name: scaling.min_replicas(installation, workload) for workload, _ in installation.ours
        }
        expected = dict.fromkeys(PROCESSES, 1 if overlay == "trial" else 3) | {"migrate": 1}
        assert count == expected | ({"projector": 6} if overlay == "production-redis-cluster" else {})


@needs_kubectl
def test_the_trial_fits_a_machine_of_two_cores():
    """What Kubernetes itself runs on one node takes up to 0.95 of a core."""
    installation = Installation(render("trial"), secrets_of("trial"))
    requests = [workload.container["resources"]["requests"]["cpu"] for workload in installation.workloads]
    assert all(request.endswith("m") for request in requests)
    assert sum(int(request.removesuffix("m")) for request in requests) <= 1000


def test_each_trial_gets_new_secrets():
    once, again = secrets_of("trial"), secrets_of("trial")
    for name, values in once.items():
        addresses = ("REDIS_ADDR", "MYSQLD_ADDRESS")
        assert all(value != again[name][key] for key, value in values.items() if key not in addresses)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_process_uses_its_own_user_of_the_templates(overlay: str):
    """In the trial, where the Secrets contain the filled templates, the passwords match too."""
    secrets = secrets_of(overlay)
    for process, values in secrets.items():
        if process.endswith("-exporter"):
            continue
        for name, value in values.items():
            url = urlsplit(value)
            if url.scheme.startswith("redis"):
                assert url.username == process
                template, password = "redis/users.acl", f"user {process} reset on >{url.password} "
            elif url.scheme == "mysql":
                assert url.username == f"imc-{process}"
                template, password = (
                    "mariadb/users.sql",
                    f"'imc-{process}'@'%' IDENTIFIED BY '{url.password}'",
                )
            else:
                continue
            assert f"{url.username}" in (ROOT / "deploy" / template).read_text(), name
            if overlay == "trial":
                server, _, file = template.partition("/")
                assert password in secrets[server][file]


def test_people_and_exporters_of_the_trial_have_the_passwords_of_the_templates():
    secrets = secrets_of("trial")
    of_redis, of_mariadb, people = (
        secrets[name] for name in ("redis-exporter", "mysqld-exporter", "operator")
    )
    for user, password in (
        ("exporter", of_redis["REDIS_PASSWORD"]),
        ("operator", people["IMC_REDIS_OPERATOR_PASSWORD"]),
    ):
        assert f"user {user} reset on >{password} " in secrets["redis"]["users.acl"]
    for user, password in (
        ("exporter", of_mariadb["MYSQLD_EXPORTER_PASSWORD"]),
        ("operator", people["IMC_DB_OPERATOR_PASSWORD"]),
    ):
        assert f"'imc-{user}'@'%' IDENTIFIED BY '{password}'" in secrets["mariadb"]["users.sql"]


def test_services_answer_the_paths_that_clients_are_promised():
    assert routed_paths() == promised_paths()
