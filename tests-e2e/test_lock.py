"""The lock, held offline against what the packages declare and what is installed."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LOCKS = ROOT / "requirements"
PACKAGES = sorted(path.parent.name for path in ROOT.glob("services/*/pyproject.toml"))
MEMBERS = {
    project["name"]: project
    for path in (
        *ROOT.glob("libs/*/pyproject.toml"),
        *ROOT.glob("services/*/pyproject.toml"),
        *ROOT.glob("bench/pyproject.toml"),
    )
    for project in [tomllib.loads(path.read_text())["project"]]
}

WITH_COMMAND_LINE = ("command-api", "standalone")
"""The packages whose images hold the command `imc`."""

_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9.+!]+)"
    r"(?: ; (?P<marker>[^#]+?))?(?P<hashes>(?:\s+--hash=sha256:[0-9a-f]{64})+)"
)
_EXTRA = re.compile(r"""extra == ['"]([^'"]+)['"]""")

Needs = Callable[[str], Iterable[str]]
"""What a distribution requires, as its metadata says; nothing for one that is not installed here."""


@dataclass(frozen=True)
class Pin:
    """One line of a lock."""

    name: str
    version: str
    marker: Marker | None

    @property
    def holds_here(self) -> bool:
        """Whether it is to be installed on this machine."""
        return self.marker is None or self.marker.evaluate()


def read_lock(text: str) -> tuple[list[Pin], list[str]]:
    """The pins of a lock, and the lines that are none: options, addresses, versions without hashes."""
    pins: list[Pin] = []
    faults: list[str] = []
    for line in filter(None, map(str.strip, text.replace("\\\n", " ").splitlines())):
        match = _PIN.fullmatch(line)
        if match is None:
            faults.append(f"no pin with hashes: {line[:60]}")
        else:
            marker = Marker(match["marker"]) if match["marker"] else None
            pins.append(Pin(canonicalize_name(match["name"]), match["version"], marker))
    return pins, faults


def needs(name: str) -> Iterable[str]:
    """What a package of ours declares, or an installed one says of itself."""
    if name in MEMBERS:
        extras = MEMBERS[name].get("optional-dependencies", {}).items()
        of_extras = [f'{need}; extra == "{extra}"' for extra, needs in extras for need in needs]
        return [*MEMBERS[name]["dependencies"], *of_extras]
    try:
        return metadata.requires(name) or ()
    except metadata.PackageNotFoundError:
        return ()


def closure(roots: Iterable[str], needs: Needs, *, anywhere: bool) -> list[Requirement]:
    """Everything that ``roots`` need, in the end: on this machine, or on any."""
    found: list[Requirement] = []
    seen: set[tuple[str, str]] = set()
    waiting = [(Requirement(root), "") for root in roots]
    while waiting:
        requirement, extra = waiting.pop()
        if not applies(requirement.marker, extra, anywhere=anywhere):
            continue
        name = canonicalize_name(requirement.name)
        found.append(requirement)
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                waiting += [(Requirement(need), wanted) for need in needs(name)]
    return found


def applies(marker: Marker | None, extra: str, *, anywhere: bool) -> bool:
    """Whether a requirement counts for ``extra`` of its package: here, or on some machine."""
    if marker is None:
        return True
    if anywhere:
        extras = _EXTRA.findall(str(marker))
        return not extras or canonicalize_name(extra) in map(canonicalize_name, extras)
    return marker.evaluate({"extra": extra})


def faults_of(text: str, roots: list[str], needs: Needs = needs) -> list[str]:
    """What is wrong with a lock for ``roots``."""
    pins, faults = read_lock(text)
    here = {pin.name: pin for pin in pins if pin.holds_here}
    for requirement in closure(roots, needs, anywhere=False):
        name = canonicalize_name(requirement.name)
        if name in MEMBERS:
            continue
        pin = here.get(name)
        if pin is None:
            faults.append(f"not pinned: {requirement}")
        elif not requirement.specifier.contains(pin.version, prereleases=True):
            faults.append(f"{pin.name} {pin.version} is not {requirement}")
    needed = {canonicalize_name(requirement.name) for requirement in closure(roots, needs, anywhere=True)}
    faults += [f"nothing needs {pin.name}" for pin in pins if pin.name not in needed]
    return sorted(set(faults))


def roots_of(name: str) -> list[str]:
    """What the lock ``name`` is for."""
    if name == "dev":
        groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
        return [requirement for group in groups.values() for requirement in group]
    return [f"imc-{name}[tracing]", *(["imc-cli"] if name in WITH_COMMAND_LINE else [])]


def lock(name: str) -> str:
    return (LOCKS / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", [*PACKAGES, "dev"])
def test_a_lock_pins_what_is_needed_and_nothing_else(name: str) -> None:
    assert faults_of(lock(name), roots_of(name)) == []


DATABASE_DRIVERS = {"aiomysql", "aiosqlite", "pymysql", "databases", "sqlalchemy", "asyncmy", "mysqlclient"}


def test_what_has_no_database_gets_no_driver_of_one() -> None:
    pinned = {name: {pin.name for pin in read_lock(lock(name))[0]} for name in PACKAGES}
    assert pinned["push-node"] & DATABASE_DRIVERS == set()
    for name in ("command-api", "query-api", "standalone"):
        assert pinned[name] >= {"aiomysql", "aiosqlite", "pymysql"}, name


def test_push_node_starts_without_a_driver_of_a_database() -> None:
    blocked = f"import sys; sys.modules.update(dict.fromkeys({sorted(DATABASE_DRIVERS)}))"
    code = f"{blocked}; import imc_push_node.__main__, imc_push_node.app"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_is_locked_to_what_it_is_tested_with(name: str) -> None:
    # A tool may need on every machine what a package needs on some.
    tested = set(read_lock(lock("dev"))[0])
    pins = read_lock(lock(name))[0]
    assert [pin for pin in pins if not tested & {pin, replace(pin, marker=None)}] == []


def test_what_is_installed_is_what_is_pinned() -> None:
    pins = [pin for pin in read_lock(lock("dev"))[0] if pin.holds_here]
    assert {pin.name: pin.version for pin in pins} == {pin.name: metadata.version(pin.name) for pin in pins}


@pytest.mark.parametrize("tool", ["uv", "pip-audit"])
def test_the_tools_are_pinned_too(tool: str) -> None:
    pins, faults = read_lock(lock(tool))
    assert tool in {pin.name for pin in pins}
    assert faults == []


def test_what_comes_from_npm_is_pinned_by_hash_and_names_no_registry() -> None:
    locked = json.loads((ROOT / "bench/peers-node/package-lock.json").read_text("utf-8"))
    wanted = json.loads((ROOT / "bench/peers-node/package.json").read_text("utf-8"))["dependencies"]
    own, *packages = locked["packages"].values()
    assert own["dependencies"] == wanted
    assert all(re.match(r"sha512-", package["integrity"]) for package in packages)
    assert not any("resolved" in package for package in packages)


def test_every_package_that_is_deployed_has_a_lock() -> None:
    assert {path.stem for path in LOCKS.glob("*.txt")} == {*PACKAGES, "dev", "uv", "pip-audit"}


def test_a_good_lock_has_no_fault() -> None:
    assert faults_of(HERE_AND_THERE, ["a>=1"], world) == []


HASH = f"--hash=sha256:{'0' * 64}"
HERE_AND_THERE = f"""\
a==1.5 \\
    {HASH} \\
    {HASH}
b-c==2.0 \\
    {HASH}
elsewhere==1.0 ; sys_platform == 'nowhere' \\
    {HASH}
with-extra==3.1 \\
    {HASH}
of-extra==1.0 \\
    {HASH}
"""


def world(name: str) -> Iterable[str]:
    """What the packages of the lock above require."""
    return {
        "a": [
            "B_c<3,>=2",
            'elsewhere; sys_platform == "nowhere"',
            'never; extra == "x"',
            "with.extra[Fast]>=3",
        ],
        "with-extra": ['of-extra; extra == "fast"', 'never; extra == "slow"'],
    }.get(name, [])


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (f"b-c==2.0 \\\n    {HASH}\n", "", "not pinned: B_c<3,>=2"),
        (f"of-extra==1.0 \\\n    {HASH}\n", "", 'not pinned: of-extra; extra == "fast"'),
        ("b-c==2.0", "b-c==1.9", "b-c 1.9 is not B_c<3,>=2"),
        ("with-extra==3.1", "with-extra==2.9", "with-extra 2.9 is not with.extra[Fast]>=3"),
        ("elsewhere==1.0 ;", f"never==1.0 {HASH}\nelsewhere==1.0 ;", "nothing needs never"),
        (f"b-c==2.0 \\\n    {HASH}", "b-c==2.0", "no pin with hashes: b-c==2.0"),
        ("b-c==2.0", "b-c>=2.0", "no pin with hashes: b-c>=2.0"),
        ("a==1.5", "--index-url https://example.org/simple\na==1.5", "no pin with hashes: --index-url"),
        ("a==1.5", "--extra-index-url=https://example.org\na==1.5", "no pin with hashes: --extra-index-url"),
        ("a==1.5", "d @ https://example.org/d.whl\na==1.5", "no pin with hashes: d @ https"),
        ("a==1.5", "-e ./services/x\na==1.5", "no pin with hashes: -e"),
    ],
)
def test_a_fault_is_caught(old: str, new: str, fault: str) -> None:
    assert old in HERE_AND_THERE
    faults = faults_of(HERE_AND_THERE.replace(old, new, 1), ["a>=1"], world)
    assert any(found.startswith(fault) for found in faults), faults


def test_a_stale_lock_of_ours_is_caught() -> None:
    text = lock("query-api")
    without = re.sub(r"pydantic-core==.*?(?=^[a-z])", "", text, flags=re.DOTALL | re.MULTILINE)
    older = re.sub(r"^fastapi==\S+", "fastapi==0.100.0", text, flags=re.MULTILINE)
    assert any("not pinned: pydantic-core" in fault for fault in faults_of(without, roots_of("query-api")))
    assert any("fastapi 0.100.0 is not" in fault for fault in faults_of(older, roots_of("query-api")))
