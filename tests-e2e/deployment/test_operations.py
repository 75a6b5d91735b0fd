"""Tests that docs/operations names only alerts, metrics, variables and files that exist."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml
from imc_command_api.settings import CommandApiSettings
from imc_contracts import schema
from imc_contracts.policies import Policies
from imc_service.health import NotReady, Ready
from project_files import project_files
from pydantic import ConfigDict, TypeAdapter, with_config

from deployment.code import PROCESSES, ROOT
from deployment.manifests import K8S
from deployment.monitoring import Metrics

FOLDER = ROOT / "docs/operations"
PAGES = {path: path.read_text() for path in sorted(FOLDER.glob("*.md")) if ".zh-CN" not in path.name}
"""In English: a test of documents holds the Chinese ones level with them."""
TEXT = "\n".join(PAGES.values())
ALERTS_PAGE = PAGES[FOLDER / "alerts.md"]
RULES = yaml.safe_load((K8S / "components/monitoring/alerts.yaml").read_text())["spec"]["groups"]
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for group in RULES for rule in group["rules"]}


def anchors() -> set[str]:
    """The anchors of the page of alerts, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", ALERTS_PAGE, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_links_to_its_runbook(alert: str):
    file, _, anchor = ALERTS[alert]["annotations"]["runbook_url"].partition("#")
    assert ROOT / file == FOLDER / "alerts.md"
    assert anchor in anchors()
    assert anchor == alert.lower()


def test_every_described_alert_exists():
    assert set(re.findall(r"^### (Imc\w+)$", ALERTS_PAGE, re.MULTILINE)) == set(ALERTS)
    assert set(re.findall(r"\bImc[A-Z]\w+", TEXT)) == set(ALERTS)


ABOUT = {"README", "requirements", "redis-sentinel", "redis-cluster", "database-replica", "alerts"}
"""Pages that describe something. All others are tasks."""
PARTS = ["When", "Do this", "When it worked", "What can go wrong"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_task_says_when_how_what_is_seen_and_what_can_go_wrong(page: Path):
    headings = re.findall(r"^## (.*)$", PAGES[page], re.MULTILINE)
    assert page.stem in ABOUT or headings[: len(PARTS)] == PARTS


def test_the_index_leads_to_every_page():
    index = PAGES[FOLDER / "README.md"]
    assert {f"{page.stem}.md" for page in PAGES} - set(re.findall(r"\]\(([\w-]+\.md)", index)) == {
        "README.md"
    }


def test_variables_and_files_exist():
    known = {name for process in PROCESSES.values() for name in process.settings.variables()}
    for template in ("deploy/redis/users.acl", "deploy/mariadb/users.sql"):
        known.update(re.findall(r"@(IMC_[A-Z_]+)@", (ROOT / template).read_text()))
    known.update(re.findall(r"\$\{(IMC_[A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))
    assert set(re.findall(r"\bIMC_[A-Z_]*[A-Z]\b", TEXT)) - known == set()
    for path in re.findall(r"`((?:deploy|base|overlays)/[\w/.-]+)`", TEXT):
        assert (ROOT / path).exists() or (K8S / path).exists(), path


def test_metrics_exist(metrics: dict[str, Metrics]):
    known = {name.removesuffix("_bucket") for each in metrics.values() for name in each.series}
    named = set(re.findall(r"`(imc_[a-z_]+)`", TEXT))
    assert "imc_gateways" in named
    # The others are of the database.
    migrations = ROOT / "services/command-api/src/imc_command_api/migrations/versions"
    tables = Path(schema.__file__)
    for path in (tables, *migrations.glob("*.py")):
        known.update(re.findall(r'"(imc_[a-z_]+)"', path.read_text()))
    assert named - known == set()


def test_an_upgrade_covers_every_process_in_order():
    steps = re.findall(r"^\d\. \*\*([a-z-]+)\*\*", PAGES[FOLDER / "upgrade.md"], re.MULTILINE)
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


def commands(text: str) -> list[str]:
    """What a document tells somebody to type into a shell, without what is piped into it."""
    blocks = re.findall(r"^ *```sh\n(.*?)```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^ *```.*?```", "", text, flags=re.MULTILINE | re.DOTALL)
    typed = [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`]+)`", prose)
    return [part.strip() for line in typed for part in line.split(" | ")]


NAMESPACED = ("apply", "create", "label namespace", "drain", "uncordon", "kustomize", "get storageclass")
"""Commands of kubectl that name no namespace: what they take says it, or it has none."""


@pytest.mark.parametrize(
    "document",
    [*PAGES, ROOT / "deploy/k8s/README.md", ROOT / "docs/security.md"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_each_command_is_told_its_namespace(document: Path):
    typed = [each for each in commands(document.read_text()) if each.startswith("kubectl ")]
    without = [each for each in typed if not each.startswith("kubectl -n imc ")]
    bare = {"kubectl apply", "kubectl drain"}  # named, not typed
    assert {each for each in without if not each.removeprefix("kubectl ").startswith(NAMESPACED)} <= bare


def test_processes_that_commands_name_exist():
    kinds = {"deployment", "statefulset"}
    named = re.findall(rf"\b({'|'.join(kinds)})/([a-z-]+)", TEXT)
    assert set(named) == {
        ("deployment", "command-api"),
        ("deployment", "projector"),
        ("deployment", "query-api"),
        ("statefulset", "push-node"),
    }


def blocks(language: str) -> list[str]:
    """The blocks of code in one language."""
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```$", TEXT, re.MULTILINE | re.DOTALL)
    return [dedent(block) for block in found]


@pytest.mark.parametrize("block", blocks("sh"))
def test_a_shell_takes_what_is_to_be_typed(block: str):
    parsed = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
    assert (parsed.returncode, parsed.stderr) == (0, "")


@pytest.mark.parametrize("block", blocks("toml"))
def test_the_file_of_apps_may_say_what_is_to_be_written(block: str):
    Policies().read(block)


def test_what_is_added_to_compose_is_for_its_services():
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    [added] = [yaml.safe_load(block)["services"] for block in blocks("yaml")]
    asked = {name for name, service in compose.items() if "IMC_AUTH" in str(service)}
    # The projector asks for no token, and removes what has the age that the file says.
    assert added.keys() == asked | {"projector"}


def printed() -> Iterator[dict[str, Any]]:
    """The JSON that the pages print: replies of IMC, and lines of its log."""
    for block in blocks("json"):
        yield from map(json.loads, block.splitlines())


@with_config(ConfigDict(extra="forbid"))
class ExactlyReady(Ready): ...


@with_config(ConfigDict(extra="forbid"))
class ExactlyNotReady(NotReady): ...


READYZ = TypeAdapter[object](ExactlyReady | ExactlyNotReady)


def test_printed_readiness_is_what_processes_answer():
    answers = [each for each in printed() if "status" in each]
    assert len(answers) > 3
    for answer in answers:
        READYZ.validate_python(answer, strict=True)


def test_printed_lines_of_the_log_are_written_by_the_code():
    code = "".join(path.read_text() for path in project_files(".py") if "src" in path.parts)
    lines = [each for each in printed() if "event" in each]
    assert lines
    assert [line["event"] for line in lines if f'"{line["event"]}"' not in code] == []


def test_printed_replies_are_what_the_calls_answer():
    paths = json.loads((ROOT / "docs/openapi.json").read_text())
    schemas = paths["components"]["schemas"]
    replies = [each for each in printed() if "success" in each]
    assert len(replies) > 5
    known: list[tuple[set[str], set[str]]] = [
        (set(schemas[name]["properties"]), set(schemas[name].get("required", ())))
        for name in ("MessagePage", "ConnectedGatewayPage", "AppPage", "Installation", "LettersDone")
    ]
    for reply in replies:
        assert reply.keys() == {"success", "code", "message", "data"}
        if reply["success"]:
            assert any(required <= reply["data"].keys() <= named for named, required in known), reply
    for name, key in (("ConnectedGateway", "gateways"), ("AppActivity", "apps"), ("Process", "processes")):
        items = [item for reply in replies for item in (reply["data"] or {}).get(key, ())]
        assert items, name
        assert all(item.keys() == schemas[name]["properties"].keys() for item in items), name


def test_the_command_that_asks_a_process_shows_why_it_is_not_ready():
    [command] = re.findall(r"kubectl -n imc exec POD -- python -c \"(.*)\"`", TEXT)

    class Unready(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(503)
            self.end_headers()
            self.wfile.write(f"{self.path}: why it is not".encode())

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Unready) as server, ThreadPoolExecutor() as aside:
        aside.submit(server.handle_request)
        code = command.replace("8000", str(server.server_port))
        asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert asked.stdout.strip() == "/readyz: why it is not"
