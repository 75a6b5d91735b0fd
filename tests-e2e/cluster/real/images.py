"""Builds the images of the trial: ours from their Dockerfile, those of others from Debian's packages."""

import contextlib
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

from deployment.code import DOCKERFILE, ROOT

from cluster.programs import cache

FILES = Path(__file__).parent / "images"
PAUSE = "localhost/imc-pause:1"
EDGE = "localhost/imc-edge:1"
PACKAGES = ("command-api", "query-api", "push-node")
OF_OTHERS = {
    "mariadb": "mariadb",
    "oliver006/redis_exporter": "redis-exporter",
    "prom/mysqld-exporter": "mysqld-exporter",
    "redis": "redis",
}
"""The images of others that the trial names, and the files here that they are made from."""
BUILD_SECONDS = 1800.0

_DEBIAN = "localhost/imc-debian"
# What Python's own modules are linked with.
_LIBRARIES = (
    *("ca-certificates", "libbz2-1.0", "libffi8", "liblzma5", "libncursesw6", "libreadline8"),
    *("libsqlite3-0", "libssl3", "libuuid1", "zlib1g"),
)


def archives(folder: Path) -> Iterator[Path]:
    """Build all images, and write each into an archive in ``folder``.

    What has not changed is not built again.
    """
    _debian()
    python = _python()
    # The name by which the Dockerfile asks for it.
    _buildah("tag", python, f"docker.io/library/python:{_shipped()}-slim")
    for package in PACKAGES:
        arguments = ["--build-arg", f"PACKAGE={package}"]
        yield _built(f"docker.io/library/imc-{package}:{_version()}", DOCKERFILE, ROOT, folder, *arguments)
    for name in sorted(_named_in_trial()):
        repository, _, _ = name.partition(":")
        owner = "" if "/" in repository else "library/"
        file = FILES / f"{OF_OTHERS[repository]}.Dockerfile"
        yield _built(f"docker.io/{owner}{name}", file, FILES, folder)
    yield _built(PAUSE, FILES / "pause.Dockerfile", FILES, folder)
    yield _built(EDGE, FILES / "nginx.Dockerfile", FILES, folder)


def _named_in_trial() -> set[str]:
    """The images of others in the manifests of the trial."""
    folders = (ROOT / "deploy/k8s/overlays/trial", ROOT / "deploy/k8s/components/exporters")
    return {
        name
        for folder in folders
        for file in folder.glob("*.yaml")
        for name in re.findall(r"^ *image: (\S+)$", file.read_text(), re.MULTILINE)
    }


def _version() -> str:
    [tag] = set(
        re.findall(r"name: imc-\S+, newTag: (\S+)", (ROOT / "deploy/k8s/base/kustomization.yaml").read_text())
    )
    return tag


def _shipped() -> str:
    """The version of Python that the Dockerfile names."""
    [version] = re.findall(r"^ARG PYTHON_VERSION=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    return version


def _built(image: str, file: Path, context: Path, folder: Path, *arguments: str) -> Path:
    options = ["--isolation", "chroot", "--format", "docker", "--layers", "--pull-never"]
    _buildah("build", *options, *arguments, "--file", str(file), "--tag", image, str(context))
    archive = folder / f"{re.sub(r'[^a-z0-9]+', '-', image)}.tar"
    _buildah("push", image, f"docker-archive:{archive}:{image}")
    return archive


def _debian() -> None:
    """A small Debian of the release that this machine has, so that what is linked here runs there."""
    if _is_there(_DEBIAN):
        return
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    with _container("scratch", _DEBIAN, "--cmd", "sh") as root:
        _run("debootstrap", "--variant=minbase", f"--include={','.join(_LIBRARIES)}", release, str(root))
        # No service is started when its package is installed.
        (root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
        (root / "usr/sbin/policy-rc.d").chmod(0o755)
        # Authorities that this machine trusts besides: those of a proxy, say.
        own = Path("/usr/local/share/ca-certificates")
        if own.is_dir():
            shutil.copytree(own, root / "usr/local/share/ca-certificates", dirs_exist_ok=True)
        _run("chroot", str(root), "/usr/sbin/update-ca-certificates")
        _run("chroot", str(root), "/usr/bin/apt-get", "clean")


def _python() -> str:
    """The same with this machine's Python of the version that ships; the name of the image."""
    command = ["sh", str(ROOT / "requirements/python.sh"), "best"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    asked = "import sys; print(sys.base_prefix, '%d.%d.%d' % sys.version_info[:3])"
    prefix, version = _run(found, "-c", asked).split()
    assert version.startswith(f"{_shipped()}."), f"Python {_shipped()} is not installed"
    image = f"localhost/imc-python:{version}"
    if not _is_there(image):
        # uv trusts what Debian trusts only where it is told.
        trusted = ["--env", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt", "--cmd", "python3"]
        with _container(_DEBIAN, image, *trusted) as root:
            _copy_python(Path(prefix), root / "usr/local")
            _run("chroot", str(root), "/sbin/ldconfig")
            _run("chroot", str(root), "/usr/local/bin/python3", "-m", "ensurepip", "--default-pip")
    return image


def _copy_python(prefix: Path, target: Path) -> None:
    """Copy an interpreter and its library, without packages and scripts that were installed beside it."""
    for path in (prefix / "bin").glob("python*"):
        shutil.copy2(path, target / "bin" / path.name, follow_symlinks=False)
    ignored = shutil.ignore_patterns("test", "__pycache__", "idlelib", "site-packages", "*.a")
    shutil.copytree(prefix / "lib", target / "lib", symlinks=True, ignore=ignored, dirs_exist_ok=True)


def _is_there(image: str) -> bool:
    return bool(_buildah("images", "--quiet", "--filter", f"reference={image}").strip())


@contextlib.contextmanager
def _container(base: str, image: str, *configuration: str) -> Generator[Path]:
    """The folder of a container made of ``base``, which becomes ``image`` unless something fails."""
    container = _buildah("from", "--pull-never", base).strip()
    try:
        yield Path(_buildah("mount", container).strip())
        _buildah("config", *configuration, container)
        _buildah("commit", "--format", "docker", container, image)
    finally:
        _buildah("rm", container)


def _buildah(verb: str, *arguments: str) -> str:
    kept = cache() / "images"
    places = ["--root", str(kept / "storage"), "--runroot", str(kept / "run"), "--storage-driver", "overlay"]
    return _run("buildah", *places, verb, *arguments)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BUILD_SECONDS)
    if done.returncode != 0:
        sys.stderr.write(done.stdout[-5000:])
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stderr[-5000:]}"
    return done.stdout
