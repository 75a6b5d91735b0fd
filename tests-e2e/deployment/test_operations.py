"""docs/operations.md speaks of alerts, metrics, variables and files that are there."""

import re
from typing import Any

import pytest
import yaml
from imc_command_api.settings import CommandApiSettings

from deployment.code import PROCESSES, ROOT
from deployment.manifests import K8S
from deployment.monitoring import Told

TEXT = (ROOT / "docs/operations.md").read_text()
RULES = yaml.safe_load((K8S / "components/monitoring/alerts.yaml").read_text())["spec"]["groups"]
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for group in RULES for rule in group["rules"]}


def anchors() -> set[str]:
    """What can be linked to in the text, as code forges make it of its headings."""
    headings = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_leads_to_what_to_do(alert: str):
    file, _, anchor = ALERTS[alert]["annotations"]["runbook_url"].partition("#")
    assert (ROOT / file).is_file()
    assert anchor in anchors()
    assert anchor == alert.lower()


def test_every_alert_that_is_described_is_there():
    assert set(re.findall(r"^### (Imc\w+)$", TEXT, re.MULTILINE)) == set(ALERTS)


def test_variables_and_files_are_there():
    known = {name for process in PROCESSES.values() for name in process.settings.variables()}
    for template in ("deploy/redis/users.acl", "deploy/mariadb/users.sql"):
        known.update(re.findall(r"@(IMC_[A-Z_]+)@", (ROOT / template).read_text()))
    assert set(re.findall(r"\bIMC_[A-Z_]+", TEXT)) - known == set()
    for link in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / link).exists(), link
    for path in re.findall(r"`((?:deploy|base|overlays)/[\w/.-]+)`", TEXT):
        assert (ROOT / path).exists() or (K8S / path).exists(), path


def test_metrics_are_there(told: dict[str, Told]):
    known = {name.removesuffix("_bucket") for each in told.values() for name in each.series}
    named = set(re.findall(r"`(imc_[a-z_]+)`", TEXT))
    assert "imc_gateways" in named
    assert named - known == set()


def test_every_process_has_its_place_in_an_upgrade():
    steps = re.findall(r"^\d\. \*\*([a-z-]+)\*\*", TEXT, re.MULTILINE)
    assert [f"imc-{step}" for step in steps] == [
        "imc-migrate",
        "imc-projector",
        "imc-query-api",
        "imc-push-node",
        "imc-command-api",
    ]
    assert set(PROCESSES) == {f"imc-{step}" for step in steps}


def test_the_alarm_of_the_backlog_comes_at_half_of_its_limit():
    limit = CommandApiSettings.model_fields["backlog_limit"].default
    assert f"> {limit // 2}" in ALERTS["ImcBacklogNearLimit"]["expr"]
