"""The mutation tool: what it changes, that its lists are true, and that it tells caught from survived."""

import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from imc_testkit.mutants import of_lua, of_python
from imc_testkit.mutants.choice import Mutant, all_of, choose, is_equivalent, known_equivalents
from imc_testkit.mutants.run import Worker
from imc_testkit.mutants.subjects import AREAS, Area
from imc_testkit.mutants.tree import TreeCopy

ROOT = Path(__file__).parents[3]


def lines_of(changes: Any, source: str) -> set[str]:
    return {change.lines(source)[1] for change in changes("file", source)}


@pytest.mark.parametrize(
    ("source", "after"),
    [
        ("def f(a, b):\n    return a < b\n", {"return a <= b"}),
        ("def f(a, b):\n    return a >= b\n", {"return a > b"}),
        ("def f(a, b):\n    return a is not b\n", {"return a is b"}),
        ("def f(a, b):\n    return a - b\n", {"return a + b"}),
        ("def f(a):\n    return a + 'text'\n", set[str]()),
        ("def f(a, b):\n    return a and b\n", {"return ((a))", "return ((b))"}),
        ("def f(a):\n    if a:\n        return 'x'\n", {"if not (a):"}),
        ("def f(a):\n    if not a:\n        return 'x'\n", {"if a:"}),
        ("def f(a):\n    a.close()\n", {"pass"}),
        ("def f(a):\n    a.x = a\n", {"pass"}),
        ("def f(a):\n    while a:\n        break\n", {"while not (a):", "pass"}),
        ("def f(a):\n    return a[2]\n", {"return a[3]", "return a[1]"}),
        ("def f():\n    return 5000\n", {"return 50000"}),
        ("def f():\n    return True\n", {"return False"}),
        ("def f(a, b):\n    return max(a, b)\n", {"return min(a, b)"}),
        ("async def f(a):\n    await a()\n    a.b()\n", {"pass", "a.b() await a()"}),
        ("SECONDS = 0.5\n", {"SECONDS = 0.5 * 10", "SECONDS = 0.5 / 10"}),
        ("def f(log):\n    if log:\n        log.info('x', n=1)\n", set[str]()),
        ('def f():\n    """Only told."""\n    assert f\n', set[str]()),
        ("def f(a: int = 'x') -> None:\n    é = 'é' if a < 'b' else ''\n", {"é = 'é' if a <= 'b' else ''"}),
    ],
)
def test_python_is_changed_one_thing_at_a_time(source: str, after: set[str]) -> None:
    assert lines_of(of_python.changes, source) == after


@pytest.mark.parametrize(
    ("source", "after"),
    [
        ("local a = b < c", {"local a = b <= c"}),
        ("local a = b ~= c", {"local a = b == c"}),
        ("return a + 1", {"return a - 1", "return a + 2", "return a + 0"}),
        ("local a = KEYS[1]", set[str]()),
        ("local a = -b", set[str]()),
        ("local a = b or c", {"local a = b", "local a = c"}),
        ("local a = f(b and c, d)", {"local a = f(b, d)", "local a = f(c, d)"}),
        ("local a = not b", {"local a = b"}),
        ("if a then", {"if not (a) then"}),
        ("return math.max(a, b)", {"return math.min(a, b)"}),
        ("  redis.call('DEL', a)\n  redis.call('SET', a)", {"", "redis.call('SET', a) redis.call('DEL', a)"}),
        ("break", {""}),
        ("-- if a < 1 then", set[str]()),
        ("local a = 'b < c'", set[str]()),
    ],
)
def test_lua_is_changed_one_thing_at_a_time(source: str, after: set[str]) -> None:
    assert lines_of(of_lua.changes, source) == after


def test_every_module_and_every_test_that_is_named_is_there() -> None:
    modules = [module for area in AREAS for module in area.modules]
    assert len(modules) == len(set(modules)), "a module belongs to one area"
    for module in modules:
        assert all_of(ROOT, module), f"nothing to change in {module}"
    for area in AREAS:
        for test in area.tests:
            file, _, function = test.partition("::")
            named = f"def {function}(" if function else "def test_"
            assert named in (ROOT / file).read_text("utf-8"), test


def test_every_listed_equivalent_is_a_change_that_can_be_made() -> None:
    listed = known_equivalents()
    assert len({(each.file, each.before, each.after) for each in listed}) == len(listed)
    for each in listed:
        source = (ROOT / each.file).read_text("utf-8")
        made = {change.lines(source) for change in all_of(ROOT, each.file)}
        assert (each.before, each.after) in made, f"not there any more: {each}"
        assert each.reason


def test_a_seed_chooses_the_same_changes_again_and_all_areas() -> None:
    chosen = choose(ROOT, 200, 1)
    assert [mutant.name for mutant in chosen] == [mutant.name for mutant in choose(ROOT, 200, 1)]
    assert [mutant.name for mutant in chosen] != [mutant.name for mutant in choose(ROOT, 200, 2)]
    assert {mutant.area.name for mutant in chosen} == {area.name for area in AREAS}
    assert len({mutant.name for mutant in chosen}) > 190
    assert {mutant.area.name for mutant in choose(ROOT, 9, 1, "leases")} == {"leases"}
    with pytest.raises(ValueError, match="nothing"):
        choose(ROOT, 9, 1, "nothing")


def test_a_copy_has_the_programs_of_every_package(tmp_path: Path) -> None:
    tree = TreeCopy(ROOT, tmp_path)
    programs = {
        name
        for file in tmp_path.glob("*/*/pyproject.toml")
        for name in tomllib.loads(file.read_text("utf-8"))["project"].get("scripts", {})
    }
    assert "imc" in programs
    assert programs <= {file.name for file in tree.python.parent.iterdir()}


def sources_of(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*.py")}


class NoRedis:
    async def flushall(self) -> None:
        """There is nothing to empty."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A tree with a package, a test of one of its two functions, and a file that git does not know yet."""
    root = tmp_path / "project"
    package, tests = root / "libs/one/src/planted", root / "libs/one/tests"
    package.mkdir(parents=True)
    tests.mkdir()
    (package / "__init__.py").write_text("")
    (package / "watched.py").write_text("def less(a, b):\n    return a < b\n")
    (package / "unwatched.py").write_text("def less(a, b):\n    return a < b\n")
    (package / "endless.py").write_text("def end(a):\n    while a:\n        a = a[1:]\n")
    (tests / "test_planted.py").write_text(
        "from planted import endless, unwatched, watched\n"
        "def test_less():\n"
        "    endless.end('')\n"
        "    assert unwatched.less(1, 2)\n"
        "    assert watched.less(1, 2) and not watched.less(2, 2)\n"
    )
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    subprocess.run(["git", "init", "-q", root], check=True)
    return root


async def test_a_change_is_caught_or_survives_and_touches_the_copy_alone(
    project: Path, tmp_path: Path
) -> None:
    tree, redis = TreeCopy(project, tmp_path / "copy"), NoRedis()
    parts: Any = (tree, {"PATH": "/usr/bin:/bin"}, redis)
    worker = Worker(*parts)
    area = Area("planted", (), ("libs/one/tests/test_planted.py",))
    before = sources_of(project)

    async def verdict(module: str, kind: str, bound: float = 100) -> str:
        file = f"libs/one/src/planted/{module}.py"
        (change,) = [change for change in all_of(project, file) if change.kind == kind]
        mutant = Mutant(area, change, (project / file).read_text())
        assert is_equivalent(mutant, known_equivalents()) is None
        return (await worker.judge(mutant, bound)).by

    assert await worker.unchanged(area) > 0
    assert await verdict("watched", "boundary") == "libs/one/tests/test_planted.py::test_less"
    assert await verdict("unwatched", "boundary") == ""
    assert await verdict("endless", "negation", bound=10) == "time"
    assert await worker.unchanged(area) > 0
    assert sources_of(project) == before
