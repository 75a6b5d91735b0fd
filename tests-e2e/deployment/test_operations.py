"""Tests that docs/operations.md names only alerts, metrics, variables and files that exist."""

import re
from typing import Any

import pytest
import yaml
from imc_command_api.settings import CommandApiSettings

from deployment.code import PROCESSES, ROOT
from deployment.manifests import K8S
from deployment.monitoring import Metrics

TEXT = (ROOT / "docs/operations.md").read_text()
RULES = yaml.safe_load((K8S / "components/monitoring/alerts.yaml").read_text())["spec"]["groups"]
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for group in RULES for rule in group["rules"]}


def anchors() -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_links_to_its_runbook(alert: str):
    file, _, anchor = ALERTS[alert]["annotations"]["runbook_url"].partition("#")
    assert (ROOT / file).is_file()
    assert anchor in anchors()
    assert anchor == alert.lower()


def test_every_described_alert_exists():
    assert set(re.findall(r"^### (Imc\w+)$", TEXT, re.MULTILINE)) == set(ALERTS)


def test_variables_and_files_exist():
    known = {name for process in PROCESSES.values() for name in process.settings.variables()}
    for template in ("deploy/redis/users.acl", "deploy/mariadb/users.sql"):
        known.update(re.findall(r"@(IMC_[A-Z_]+)@", (ROOT / template).read_text()))
    assert set(re.findall(r"\bIMC_[A-Z_]+", TEXT)) - known == set()
    for link in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / link).exists(), link
    for path in re.findall(r"`((?:deploy|base|overlays)/[\w/.-]+)`", TEXT):
        assert (ROOT / path).exists() or (K8S / path).exists(), path


def test_metrics_exist(metrics: dict[str, Metrics]):
    known = {name.removesuffix("_bucket") for each in metrics.values() for name in each.series}
    named = set(re.findall(r"`(imc_[a-z_]+)`", TEXT))
    assert "imc_gateways" in named
    # The others are of the database.
    migrations = ROOT / "services/command-api/src/imc_command_api/migrations/versions"
    known.update(
        re.findall(r'"(imc_[a-z_]+)"', "".join(path.read_text() for path in migrations.glob("*.py")))
    )
    assert named - known == set()


def test_an_upgrade_covers_every_process_in_order():
    steps = re.findall(r"^\d\. \*\*([a-z-]+)\*\*", TEXT, re.MULTILINE)
    assert [f"imc-{step}" for step in steps] == [
        "imc-migrate",
        "imc-projector",
        "imc-query-api",
        "imc-push-node",
        "imc-command-api",
    ]
    assert set(PROCESSES) == {f"imc-{step}" for step in steps}


def test_the_backlog_alert_fires_at_half_the_limit():
    limit = CommandApiSettings.model_fields["backlog_limit"].default
    assert f"> {limit // 2}" in ALERTS["ImcBacklogNearLimit"]["expr"]
