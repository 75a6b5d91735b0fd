"""Tests that an image has all it needs: runs the build steps in a clean folder, without the sources."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from imc_testkit.child import Child, free_port
from imc_testkit.waiting import wait_until

from deployment.code import DOCKERFILE, PROCESSES, ROOT, image_environment, project

PACKAGES = sorted({process.package for process in PROCESSES.values()} | {"standalone"})
BUILD, LAST = DOCKERFILE.read_text().split("\nFROM ")[1:]
UV = ROOT / ".uv/bin"


def health_check() -> list[str]:
    """The command of the health check of the images."""
    command = re.search(r"^HEALTHCHECK.*\\\n  CMD \[(.*)\]$", LAST, re.MULTILINE)
    assert command is not None
    return shlex.split(command[1].replace('", "', '" "'))


def test_an_image_has_only_what_the_install_script_makes():
    assert re.findall(r"^COPY (.*)$", LAST, re.MULTILINE) == ["--from=build /imc /imc"]
    assert "RUN sh install.sh ${PACKAGE} /imc" in BUILD
    assert "RUN" not in LAST
    assert re.findall(r"^USER (.*)$", LAST, re.MULTILINE) == ["10001:10001"]
    assert not re.search("SECRET|PASSWORD|TOKEN", DOCKERFILE.read_text())


def copy_sources(folder: Path, package: str) -> None:
    """Copy what the Dockerfile copies, except what .dockerignore excludes."""
    for copied in re.findall(r"^COPY (\S+) \S+$", BUILD, re.MULTILINE):
        name = copied.replace("${PACKAGE}", package)
        if name in ("libs", "services"):
            for member in (ROOT / name).iterdir():
                if (member / "src").is_dir():
                    shutil.copytree(member / "src", folder / name / member.name / "src")
                    shutil.copy(member / "pyproject.toml", folder / name / member.name)
        else:
            target = folder / (name if name.startswith("requirements") else Path(name).name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)


@pytest.fixture(scope="module", params=PACKAGES)
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A package, and its environment, made as in the image; the sources are deleted."""
    package, folder = request.param, tmp_path_factory.mktemp("image")
    copy_sources(folder / "build", package)
    # Use the index of pip for uv too, as the Makefile does.
    asked = subprocess.run(
        [UV / "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    )
    index = {"UV_DEFAULT_INDEX": asked.stdout.strip()} if asked.returncode == 0 else {}
    environment = {**index, **os.environ, "PATH": f"{UV}:{os.environ['PATH']}", "UV_PYTHON": sys.executable}
    done = subprocess.run(
        ["sh", "install.sh", package, str(folder / "imc")],
        cwd=folder / "build",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shutil.rmtree(folder / "build")
    return package, folder / "imc"


@contextlib.contextmanager
def running(environment: Path, script: str, variables: dict[str, str]) -> Generator[Child]:
    """Run a process of the environment. Its port is added to ``variables``."""
    variables |= {
        **image_environment(),
        "IMC_HOST": "127.0.0.1",
        "IMC_PORT": str(free_port()),
        "PATH": f"{environment / 'bin'}:{os.defpath}",
    }
    child = Child([str(environment / "bin" / script)], variables)
    child.spawn()
    yield child


async def test_processes_run_and_stop_without_the_sources(
    installed: tuple[str, Path], redis_url: str, database_url: str, tmp_path: Path
):
    package, environment = installed
    scripts = {script for script, process in PROCESSES.items() if process.package == package} | {"imc"}
    stores = {
        "IMC_REDIS_URL": redis_url,
        "IMC_DATABASE_URL": database_url,
        "IMC_COMMAND_API_URL": "http://127.0.0.1:1",
        "IMC_DATA_DIR": str(tmp_path),
        "IMC_AUTH": "off",
    }
    for script in sorted(scripts):
        variables = dict(stores)
        with running(environment, script, variables) as child:
            try:
                if script == "imc-migrate":
                    assert await child.wait() == 0, child.log
                    continue
                await until_healthy(child, environment, variables)
                child.send_signal(signal.SIGTERM)
                assert await child.wait() == 0, child.log
            finally:
                await child.close()
        assert not is_healthy(environment, variables), "the health check must fail without the process"


async def until_healthy(child: Child, environment: Path, variables: dict[str, str]) -> None:
    """Wait until the health check succeeds. The first start compiles all imported modules."""
    address = ("127.0.0.1", int(variables["IMC_PORT"]))

    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(address, 1):
            return True
        return False

    try:
        await wait_until(lambda: child.exit_code is not None or listens(), 60, 0.05)
        await wait_until(lambda: child.exit_code is not None or is_healthy(environment, variables), 60, 0.5)
    except AssertionError:
        raise AssertionError(f"not healthy in time: {child.log}") from None
    assert child.exit_code is None, child.log


def is_healthy(environment: Path, variables: dict[str, str]) -> bool:
    """Whether the health check of the image succeeds."""
    check = health_check()
    assert check[0] == "python"
    command = [str(environment / "bin/python"), *check[1:]]
    return subprocess.run(command, env=variables, capture_output=True, check=False).returncode == 0


def test_no_file_refers_to_the_sources(installed: tuple[str, Path]):
    package, environment = installed
    own = [path for path in environment.rglob("*") if path.name.startswith(("imc_", "_imc", "__editable__"))]
    [modules] = {path.parent for path in own if path.name == "imc_service"}
    assert (modules / "imc_service/py.typed").is_file()
    assert not list(modules.glob("*.pth")) or not any("imc" in path.name for path in modules.glob("*.pth"))
    services = {path.name for path in modules.glob("imc_*") if path.is_dir() and "dist-info" not in path.name}
    assert "imc_testkit" not in services
    if package != "standalone":
        assert services == {"imc_contracts", "imc_service", f"imc_{package.replace('-', '_')}"}


def has_engine() -> bool:
    """Whether there is a container engine."""
    docker = shutil.which("docker")
    return (
        docker is not None
        and subprocess.run([docker, "version"], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_the_real_image_builds_and_runs(package: str):
    if not has_engine():
        pytest.skip("there is no container engine")
    image = f"imc-{package}:{project(package)['version']}"
    build = [
        "docker",
        "build",
        "--quiet",
        "--tag",
        image,
        "--file",
        DOCKERFILE,
        "--build-arg",
        f"PACKAGE={package}",
    ]
    subprocess.run([*build, ROOT], check=True, capture_output=True)
    run = ["docker", "run", "--rm", "--read-only", image]
    user = subprocess.run([*run, "id", "-u"], check=True, capture_output=True, text=True).stdout
    assert user.strip() == "10001"
    refused = subprocess.run(
        [*run[:-1], "--env", "IMC_PORT=x", image], capture_output=True, text=True, check=False
    )
    assert (refused.returncode, "IMC_PORT" in refused.stderr) == (2, True)
