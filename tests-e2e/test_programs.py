"""What holds for every program: its command line, its outputs, its locale, its pages, its end."""

import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import AsyncGenerator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from imc_testkit.processes import Process
from imc_testkit.tokens import OFF
from imc_testkit.waiting import wait_until

pytestmark = pytest.mark.programs

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
MEMBERS = [*ROOT.glob("services/*/pyproject.toml"), *ROOT.glob("libs/*/pyproject.toml")]
VERSIONS = {
    script: project["version"]
    for member in MEMBERS
    for project in [tomllib.loads(member.read_text("utf-8"))["project"]]
    for script in project.get("scripts", {})
    # It has subcommands, and tests of its own.
    if script != "imc"
}
SERVICES = ["imc-command-api", "imc-projector", "imc-query-api", "imc-push-node", "imc-standalone"]
REQUIRED = {
    "imc-command-api": ["IMC_AUTH", "IMC_REDIS_URL", "IMC_DATABASE_URL"],
    "imc-projector": ["IMC_REDIS_URL", "IMC_DATABASE_URL"],
    "imc-query-api": ["IMC_AUTH", "IMC_DATABASE_URL"],
    "imc-push-node": ["IMC_AUTH", "IMC_REDIS_URL", "IMC_COMMAND_API_URL"],
    "imc-standalone": ["IMC_AUTH", "IMC_DATA_DIR"],
    "imc-migrate": ["IMC_DATABASE_URL"],
}
ASCII_ALONE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def run(line: str, env: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a line of shell, with ``$BIN`` for the folder of the scripts and no other variable of ours."""
    environment = {"PATH": "/usr/bin:/bin", "BIN": str(BIN), **(env or {})}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_no_program_is_left_out() -> None:
    assert set(VERSIONS) == set(REQUIRED)


@pytest.mark.parametrize("script", sorted(VERSIONS))
def test_help_says_what_it_is_its_settings_and_an_example(script: str) -> None:
    done = run(f"$BIN/{script} --help", ASCII_ALONE)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {script} ")
    for variable in REQUIRED[script]:
        assert f"\n  {variable}: " in done.stdout
    example = done.stdout.rpartition("\nexample:\n")[2]
    assert script in example
    assert all(variable in example for variable in REQUIRED[script])


@pytest.mark.parametrize("script", sorted(VERSIONS))
def test_version(script: str) -> None:
    done = run(f"$BIN/{script} --version")
    assert (done.returncode, done.stdout) == (0, f"{script} {VERSIONS[script]}\n")


@pytest.mark.parametrize(
    ("script", "argument"), [*((script, "--bogus") for script in sorted(VERSIONS)), ("imc-migrate", "now")]
)
def test_unknown_arguments_are_an_error(script: str, argument: str) -> None:
    done = run(f"$BIN/{script} {argument}")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{script}: error: " in done.stderr


@pytest.mark.parametrize("outputs", ["| true", "| head -1", ">&-", ">&- 2>&-"])
def test_help_that_nobody_reads_ends_quietly(outputs: str) -> None:
    assert run(f"$BIN/imc-standalone -h {outputs}").stderr == ""


@pytest.mark.parametrize("outputs", ["| true", ">&-", "| head -1"])
def test_a_list_that_nobody_reads_ends_quietly(outputs: str, redis_url: str, database_url: str) -> None:
    stores = {"IMC_REDIS_URL": redis_url, "IMC_DATABASE_URL": database_url}
    done = run(f"$BIN/imc deadletters list --direct {outputs}", {**stores, **ASCII_ALONE})
    assert done.stderr == ""
    assert done.returncode in (0, 141)


@pytest.fixture
def environment(redis_url: str, database_url: str, tmp_path: Path) -> dict[str, str]:
    """Enough for every service, in a locale that knows ASCII alone."""
    return {
        **OFF,
        **ASCII_ALONE,
        "IMC_REDIS_URL": redis_url,
        "IMC_DATABASE_URL": database_url,
        "IMC_COMMAND_API_URL": "http://127.0.0.1:1",
        "IMC_DATA_DIR": str(tmp_path),
    }


@pytest.mark.parametrize("script", SERVICES)
async def test_it_is_not_ready_from_the_signal_on(script: str, environment: dict[str, str]) -> None:
    environment["IMC_DRAIN_DELAY_SECONDS"] = "300"
    async with (
        Process(script, environment) as process,
        httpx.AsyncClient(base_url=process.url, trust_env=False) as client,
    ):
        await process.ready()
        process.send_signal(signal.SIGTERM)

        async def is_retired() -> bool:
            reply = await client.get("/readyz")
            return (reply.status_code, reply.json().get("reasons")) == (503, ["the process ends"])

        await wait_until(is_retired)
        assert (await client.get("/livez")).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


@pytest.mark.parametrize("script", SERVICES)
async def test_a_signal_ends_it_in_order(script: str, environment: dict[str, str]) -> None:
    async with Process(script, environment) as process:
        await process.ready()
        assert await process.terminate() == 0
        assert '"level": "error"' not in process.log


class Links(HTMLParser):
    """What a page loads or leads to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {value for name, value in attrs if name in ("href", "src") and value is not None}


@pytest.fixture(params=SERVICES)
async def browser(
    request: pytest.FixtureRequest, environment: dict[str, str]
) -> AsyncGenerator[httpx.AsyncClient]:
    async with (
        Process(request.param, environment) as process,
        httpx.AsyncClient(base_url=process.url, trust_env=False) as client,
    ):
        await process.ready()
        yield client


async def test_the_bare_address_leads_somewhere(browser: httpx.AsyncClient) -> None:
    front = await browser.get("/", follow_redirects=True)
    assert (front.status_code, front.headers["content-type"]) == (200, "text/html; charset=utf-8")
    if (await browser.get("/console/")).status_code == 200:
        assert front.url.path == "/console/"
    else:
        assert {"docs", "openapi.json", "readyz", "livez", "metrics"} <= Links(front.text).found


async def test_pages_load_nothing_from_elsewhere(browser: httpx.AsyncClient) -> None:
    front = str((await browser.get("/", follow_redirects=True)).url.path)
    for path in (front, "/docs"):
        page = await browser.get(path)
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert not re.search(r"https?:|script-src[^;]*unsafe", policy)
        for link in Links(page.text).found - {"data:,"}:
            reply = await browser.get(urljoin(path, link))
            assert (reply.url.host, reply.status_code) == (browser.base_url.host, 200), link
    described = Links((await browser.get("/docs")).text).found
    assert {"docs/swagger-ui-bundle.js", "docs/swagger-ui.css", "docs/init.js"} <= described
    bundle = await browser.get("/docs/swagger-ui-bundle.js")
    assert "SwaggerUIBundle" in bundle.text
    assert bundle.headers["content-type"].startswith("text/javascript")
