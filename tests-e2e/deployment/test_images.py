"""What an image holds is enough: its steps, taken in a clean folder that is gone when its processes start.

With the Python that ships, and as in a container: a user whom no file knows, a root that is read-only.
"""

import contextlib
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from imc_testkit.child import Child, free_port
from imc_testkit.waiting import wait_until

from deployment.code import DOCKERFILE, PROCESSES, ROOT, image_environment, project

PACKAGES = sorted({process.package for process in PROCESSES.values()} | {"standalone"})
BUILD, LAST = DOCKERFILE.read_text().split("\nFROM ")[1:]
UV = ROOT / ".uv/bin"
CONFINED = Path(__file__).with_name("confined.sh")
WITH_COMMAND_LINE = ("command-api", "standalone")
"""The packages whose images hold the command `imc`."""

COMMANDS = ["token mint --app a --scope send", "capacity", "deadletters list --direct", "check"]
NOT_GIVEN = {"USER", "HOME", "PYTHONUTF8"}
"""What the image sets for libraries that ask who they are; no process of ours depends on it."""


def health_check() -> list[str]:
    """The command by which an image asks whether its process is well."""
    command = re.search(r"^HEALTHCHECK.*\\\n  CMD \[(.*)\]$", LAST, re.MULTILINE)
    assert command is not None
    return shlex.split(command[1].replace('", "', '" "'))


def test_an_image_is_what_install_makes_and_nothing_else():
    assert re.findall(r"^COPY (.*)$", LAST, re.MULTILINE) == ["--from=build /imc /imc"]
    assert "RUN sh install.sh ${PACKAGE} /imc" in BUILD
    assert "RUN" not in LAST
    assert re.findall(r"^USER (.*)$", LAST, re.MULTILINE) == ["10001:10001"]
    assert not re.search("SECRET|PASSWORD|TOKEN", DOCKERFILE.read_text())


def lay_out(folder: Path, package: str) -> None:
    """What the Dockerfile copies, as far as .dockerignore lets it through."""
    for copied in re.findall(r"^COPY (\S+) \S+$", BUILD, re.MULTILINE):
        name = copied.replace("${PACKAGE}", package)
        if name in ("libs", "services"):
            for member in (ROOT / name).iterdir():
                if (member / "src").is_dir() and member.name != "imc-testkit":
                    shutil.copytree(member / "src", folder / name / member.name / "src")
                    for file in (member / "pyproject.toml", *member.glob("README.md")):
                        shutil.copy(file, folder / name / member.name)
        else:
            target = folder / (name if name.startswith("requirements") else Path(name).name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)


def python_that_ships() -> str:
    """The interpreter that the images hold, or the nearest to it that is installed here."""
    command = ["sh", "requirements/python.sh", "best"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(params=PACKAGES)
def installed(
    request: pytest.FixtureRequest,
    environments: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, Path]:
    """A package, and the environment that holds it, made once as the image's is; the sources are gone."""
    package = request.param
    if package not in environments:
        environments[package] = make_environment(package, tmp_path_factory.mktemp("image"))
    return package, environments[package]


@pytest.fixture(scope="module")
def environments() -> dict[str, Path]:
    """The environments that were made so far, by package."""
    return {}


def make_environment(package: str, folder: Path) -> Path:
    """Do in ``folder`` what the first stage of the Dockerfile does; the environment."""
    lay_out(folder / "build", package)
    # An index set for pip counts for uv too, as in the Makefile.
    asked = subprocess.run(
        [UV / "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    )
    index = {"UV_DEFAULT_INDEX": asked.stdout.strip()} if asked.returncode == 0 else {}
    environment = {
        **index,
        **os.environ,
        "PATH": f"{UV}:{os.environ['PATH']}",
        "UV_PYTHON": python_that_ships(),
        # As the Dockerfile says: what is read-only later can't be compiled then.
        "UV_COMPILE_BYTECODE": "1",
    }
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
    return folder / "imc"


def can_confine() -> bool:
    """Whether this user may make mount namespaces, as root in most places."""
    unshare = shutil.which("unshare")
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return (
        os.geteuid() == 0
        and unshare is not None
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


@pytest.fixture
def confinement(installed: tuple[str, Path], tmp_path: Path) -> list[str]:
    """The command before a command that runs it as a container would."""
    if not can_confine():
        pytest.skip("only root can make the mounts of a container")
    environment = installed[1]
    home = re.search(r"^home = (.*)/bin$", (environment / "pyvenv.cfg").read_text("utf-8"), re.MULTILINE)
    assert home is not None
    (tmp_path / "root").mkdir()
    return ["unshare", "--mount", "sh", str(CONFINED), str(tmp_path / "root"), home[1], str(environment)]


def variables_of(environment: Path) -> dict[str, str]:
    """What a process of the image gets, with a port of its own and without `NOT_GIVEN`."""
    return {
        **{name: value for name, value in image_environment().items() if name not in NOT_GIVEN},
        "IMC_HOST": "127.0.0.1",
        "IMC_PORT": str(free_port()),
        "PATH": f"{environment / 'bin'}:{os.defpath}",
    }


def test_manifests_let_a_process_write_to_nothing_but_tmp() -> None:
    restricted = (ROOT / "deploy/k8s/base/restricted.yaml").read_text("utf-8")
    assert re.findall(r"mountPath: (\S+?) *}", restricted) == ["/tmp"]
    assert "readOnlyRootFilesystem: true" in restricted
    assert "tmpfs: [/tmp]" in (ROOT / "docker-compose.yml").read_text("utf-8")


PROGRAMS_OF_IMAGES = [
    *((process.package, script) for script, process in sorted(PROCESSES.items())),
    *((package, "imc-service") for package in PACKAGES),
    *((package, f"imc {command}") for package in WITH_COMMAND_LINE for command in COMMANDS),
]


@pytest.mark.parametrize(("installed", "script"), PROGRAMS_OF_IMAGES, indirect=["installed"])
async def test_it_runs_and_ends_as_in_a_container(
    installed: tuple[str, Path], script: str, confinement: list[str], redis_url: str, database_url: str
):
    package, environment = installed
    stores = {"IMC_REDIS_URL": redis_url, "IMC_DATABASE_URL": database_url}
    variables = variables_of(environment) | {
        **(stores if script != "imc-service" or package != "standalone" else {"IMC_DATA_DIR": "/data/imc"}),
        "IMC_COMMAND_API_URL": "http://127.0.0.1:1",
        "IMC_AUTH": "off",
        "IMC_JWT_SECRET": secrets.token_hex(32),
    }
    program, *arguments = script.split()
    command = [str(environment / "bin" / program), *arguments]
    child = Child([*confinement, *command], variables)
    child.spawn()
    try:
        if script == "imc-migrate" or program == "imc":
            assert await child.wait(60) == 0, child.log
            return
        await well(child, environment, variables)
        child.send_signal(signal.SIGTERM)
        assert await child.wait() == 0, child.log
    finally:
        await child.close()
    assert not is_well(environment, variables), "the health check asks the process"


async def well(child: Child, environment: Path, variables: dict[str, str]) -> None:
    """Wait until the health check is content; a first start compiles everything that it imports."""
    address = ("127.0.0.1", int(variables["IMC_PORT"]))

    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(address, 1):
            return True
        return False

    try:
        await wait_until(lambda: child.exit_code is not None or listens(), 60, 0.05)
        await wait_until(lambda: child.exit_code is not None or is_well(environment, variables), 60, 0.5)
    except AssertionError:
        raise AssertionError(f"not well in time: {child.log}") from None
    assert child.exit_code is None, child.log


def is_well(environment: Path, variables: dict[str, str]) -> bool:
    """What the image's health check says."""
    asked = health_check()
    assert asked[0] == "python"
    command = [str(environment / "bin/python"), *asked[1:]]
    return subprocess.run(command, env=variables, capture_output=True, check=False).returncode == 0


def test_nothing_points_back_to_the_sources(installed: tuple[str, Path]):
    package, environment = installed
    own = [path for path in environment.rglob("*") if path.name.startswith(("imc_", "_imc", "__editable__"))]
    [modules] = {path.parent for path in own if path.name == "imc_service"}
    assert (modules / "imc_service/py.typed").is_file()
    assert not list(modules.glob("*.pth")) or not any("imc" in path.name for path in modules.glob("*.pth"))
    services = {path.name for path in modules.glob("imc_*") if path.is_dir() and "dist-info" not in path.name}
    assert "imc_testkit" not in services
    if package != "standalone":
        tools = {"imc_capacity", "imc_cli", "imc_gateway"}
        also = tools if package in WITH_COMMAND_LINE else set[str]()
        assert services == {"imc_contracts", "imc_service", f"imc_{package.replace('-', '_')}", *also}


def ignored_but(folder: Path) -> set[str]:
    """The files that a build sees of the project, by buildah, which needs no engine for this."""
    sources = re.findall(r"^COPY (?!--from)(\S+) ", BUILD, re.MULTILINE)
    copies = [f"COPY {source.replace('${PACKAGE}', 'standalone')} /seen/{source}" for source in sources]
    (folder / "Dockerfile").write_text("\n".join(["FROM scratch", *copies, ""]))
    command = [
        *BUILDAH,
        *("--root", str(folder / "storage"), "--runroot", str(folder / "run")),
        *("build", "--isolation", "chroot", "--file", str(folder / "Dockerfile")),
        *("--output", f"type=local,dest={folder / 'out'}", str(ROOT)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen = folder / "out/seen"
    return {str(path.relative_to(seen)) for path in seen.rglob("*") if path.is_file()}


BUILDAH = ["buildah", "--storage-driver", "vfs"]


@pytest.mark.skipif(shutil.which("buildah") is None, reason="buildah is not installed")
def test_a_build_sees_the_sources_and_nothing_beside_them(tmp_path: Path):
    seen = ignored_but(tmp_path)
    assert {"deploy/docker/install.sh", "services/push-node/pyproject.toml"} <= seen
    assert any(path.startswith("libs/imc-service/src/imc_service/") for path in seen)
    assert not [path for path in seen if re.search(r"__pycache__|/tests/|imc-testkit", path)]


def engine() -> list[str] | None:
    """How to build an image and run it: by docker, or by podman, where one of them answers."""
    for name in ("docker", "podman"):
        if shutil.which(name) is not None:
            asked = subprocess.run([name, "info"], capture_output=True, check=False)
            if asked.returncode == 0:
                return [name]
    return None


@pytest.mark.parametrize("package", PACKAGES)
def test_the_real_image_builds_and_runs(package: str):
    container = engine()
    if container is None:
        pytest.skip("no container engine answers")
    image = f"imc-{package}:{project(package)['version']}"
    options = ["--quiet", "--tag", image, "--file", str(DOCKERFILE), "--build-arg", f"PACKAGE={package}"]
    subprocess.run([*container, "build", *options, ROOT], check=True, capture_output=True)
    run = [*container, "run", "--rm", "--read-only"]
    user = subprocess.run([*run, image, "id", "-u"], check=True, capture_output=True, text=True).stdout
    assert user.strip() == "10001"
    # As a cluster may choose to: a user that the image does not know of.
    stranger = [*run, "--user", "4711:4711", "--env", "IMC_PORT=x", image]
    refused = subprocess.run(stranger, capture_output=True, text=True, check=False)
    assert (refused.returncode, "IMC_PORT" in refused.stderr) == (2, True)
