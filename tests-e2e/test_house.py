"""Checks the rules of the code, described in CONTRIBUTING.md, in the source of every package."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
from packaging.requirements import Requirement

Function = ast.FunctionDef | ast.AsyncFunctionDef

ROOT = Path(__file__).parent.parent
FOLDERS = [
    *sorted(
        path.parent for path in ROOT.glob("*/*/pyproject.toml") if path.parts[-3] in ("libs", "services")
    ),
    ROOT / "bench",
]

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 48
MEANINGLESS_NAMES = {"utils", "util", "common", "base", "helpers", "helper", "misc"}
SERVICES = {"imc_command_api", "imc_query_api", "imc_push_node"}
MAY_IMPORT = {
    "imc_capacity": {"imc_contracts", "imc_service"},
    "imc_cli": {"imc_capacity", "imc_contracts", "imc_gateway", "imc_service", "imc_standalone", *SERVICES},
    "imc_contracts": set[str](),
    "imc_gateway": set[str](),
    "imc_service": {"imc_contracts"},
    "imc_testkit": {"imc_contracts"},
    "imc_standalone": {"imc_contracts", "imc_service", *SERVICES},
    **{service: {"imc_contracts", "imc_service"} for service in SERVICES},
    "imc_bench": {"imc_capacity", "imc_contracts", "imc_service", "imc_testkit", *SERVICES},
}
"""The packages of this repository that each package may import, besides itself."""

ALLOWED_IN_CONTRACTS = {"pydantic", "orjson", "typing_extensions"}
IO_MODULES = {
    *{
        "asyncio",
        "concurrent",
        "http",
        "io",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
        "random",
        "secrets",
    },
    *{"select", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading"},
    *{"time", "urllib", "uuid"},
}
PURE_PARTS = ("urllib.parse.",)
"""Parts of those modules that do no I/O."""

FORBIDDEN_LAYERS = {
    "handlers": {"http", "app", "bootstrap", "__main__"},
    "queries": {"http", "app", "bootstrap", "__main__"},
    "http": {"app", "__main__"},
}
"""The layers above each layer of a service, which it must not import."""

FORBIDDEN_AT_IMPORT = {
    *{
        "FastAPI",
        "APIRouter",
        "Starlette",
        "Redis",
        "RedisCluster",
        "Database",
        "AsyncClient",
        "Client",
        "Thread",
    },
    *{"CollectorRegistry", "Counter", "Gauge", "Histogram", "Summary", "Info"},
    *{
        "from_url",
        "connect",
        "create_engine",
        "create_pool",
        "open",
        "read_text",
        "run",
        "get_event_loop",
        "getenv",
    },
}
"""Calls that must not happen at import: making a client, an app or a metric, or reading a file."""


@dataclass(frozen=True)
class Module:
    """One file of a package: its dotted name and its source."""

    name: str
    source: str

    @property
    def package(self) -> str:
        return self.name.partition(".")[0]

    @property
    def layer(self) -> str:
        return (*self.name.split("."), "")[1]

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @cached_property
    def imports(self) -> set[str]:
        """Dotted names of all imports, including those in functions."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found |= {f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names}
        return found


def violations(module: Module) -> list[str]:
    """Describe each violation of a rule by the module."""
    rules = (
        check_packages,
        check_contracts,
        check_layers,
        check_names,
        check_lengths,
        check_work_at_import,
    )
    return [f"{module.name} {violation}" for rule in rules for violation in rule(module)]


def check_packages(module: Module) -> Iterator[str]:
    for name in sorted(module.imports):
        top = name.partition(".")[0]
        if not top:
            yield f"imports {name} by a relative name"
        elif top.startswith("imc_") and top != module.package and top not in MAY_IMPORT[module.package]:
            yield f"imports {name}"


def check_contracts(module: Module) -> Iterator[str]:
    if module.package != "imc_contracts":
        return
    for name in sorted(module.imports):
        top = name.partition(".")[0]
        if top.startswith("imc_"):
            continue
        does_io = top in IO_MODULES and not name.startswith(PURE_PARTS)
        if top not in sys.stdlib_module_names | ALLOWED_IN_CONTRACTS or does_io:
            yield f"imports {name}, though contracts do no I/O"


def check_layers(module: Module) -> Iterator[str]:
    own = f"{module.package}."
    for name in sorted(module.imports):
        target = name.removeprefix(own).partition(".")[0] if name.startswith(own) else None
        if target in FORBIDDEN_LAYERS.get(module.layer, ()):
            yield f"imports {name}, which lies above {module.layer}"
        top = name.partition(".")[0]
        is_pure = target == "domain" or top == "imc_contracts" or top in sys.stdlib_module_names - IO_MODULES
        if module.layer == "domain" and not is_pure:
            yield f"imports {name}, though the domain is pure"


def check_names(module: Module) -> Iterator[str]:
    for part in module.name.split("."):
        if part.strip("_") in MEANINGLESS_NAMES:
            yield f"is called {part}, which is meaningless"


def check_lengths(module: Module) -> Iterator[str]:
    lines = len(module.source.splitlines())
    if lines > MAX_FILE_LINES:
        yield f"has {lines} lines"
    for node in ast.walk(module.tree):
        if isinstance(node, Function) and (length := body_lines(node)) > MAX_FUNCTION_LINES:
            yield f"has a function of {length} lines: {node.name}"


def body_lines(function: Function) -> int:
    """The lines of a function body, without its docstring and nested functions."""
    within = {line for node in function.body for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    for node in ast.walk(function):
        if isinstance(node, Function) and node is not function:
            within -= set(range(node.lineno, (node.end_lineno or 0) + 1))
    if ast.get_docstring(function, clean=False) is not None:
        within -= set(range(function.body[0].lineno, (function.body[0].end_lineno or 0) + 1))
    return len(within)


def check_work_at_import(module: Module) -> Iterator[str]:
    for node in executed_at_import(module.tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called.rpartition(".")[2] in FORBIDDEN_AT_IMPORT:
                yield f"calls {called} at import"
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "os.environ":
            yield "reads the environment at import"


def executed_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run at import: not the bodies of functions, and not ``if __name__ == "__main__"``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "__main__" in ast.unparse(child.test):
            continue
        if isinstance(child, Function):
            for part in (*child.decorator_list, child.args):
                yield part
                yield from executed_at_import(part)
        elif not isinstance(child, ast.Lambda):
            yield child
            yield from executed_at_import(child)


def modules_of(folder: Path) -> list[Module]:
    """Every module of the package in ``folder``."""
    source = folder / "src"
    return [
        Module(
            ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__"),
            path.read_text(),
        )
        for path in sorted(source.rglob("*.py"))
    ]


def classes_of_one_name(modules: list[Module]) -> dict[str, list[str]]:
    """Names that several classes of a package bear, with their modules.

    The Java door has commands of its own under the names of v1's: whoever reads one imports its module.
    """
    found: dict[str, list[str]] = {}
    for module in modules:
        if "java_door" not in module.name.split("."):
            for node in module.tree.body:
                if isinstance(node, ast.ClassDef):
                    found.setdefault(node.name, []).append(module.name)
    return {name: places for name, places in found.items() if len(places) > 1}


def undeclared(folder: Path, modules: list[Module]) -> set[str]:
    """Imported distributions that neither the package nor a package that it depends on declares."""
    declared = declared_by(folder, all_extras=True)
    imported = {name.partition(".")[0] for module in modules for name in module.imports}
    outside = {top for top in imported if top not in sys.stdlib_module_names and not top.startswith("imc_")}
    return {top for top in outside if DISTRIBUTIONS.get(top, top).replace("_", "-") not in declared}


DISTRIBUTIONS = {
    # pyjwt provides jwt. fastapi promises to depend on starlette. Several packages share opentelemetry.
    "jwt": "pyjwt",
    "opentelemetry": "opentelemetry-api",
    "starlette": "fastapi",
}


def declared_by(folder: Path, extras: frozenset[str] = frozenset(), *, all_extras: bool = False) -> set[str]:
    """The dependencies of a package with ``extras``, or with all that it has.

    Those of packages of this repository among them are included.
    """
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    optional = project.get("optional-dependencies", {})
    wanted = set(optional) if all_extras else extras
    needs = [Requirement(need) for need in project["dependencies"]]
    needs += [Requirement(need) for extra in wanted for need in optional[extra]]
    names = {need.name for need in needs}
    for other in FOLDERS:
        for need in needs:
            if need.name in (other.name, f"imc-{other.name}"):
                names |= declared_by(other, frozenset(need.extras))
    return names


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_package_follows_the_rules(folder: Path) -> None:
    modules = modules_of(folder)
    assert modules, "the package has no modules"
    assert [violation for module in modules for violation in violations(module)] == []
    assert (folder / "src" / modules[0].package / "py.typed").exists()
    assert undeclared(folder, modules) == set()
    assert classes_of_one_name(modules) == {}


def test_two_classes_of_one_name_are_found() -> None:
    modules = [Module("imc_service.a", "class A: ...\nclass B: ..."), Module("imc_service.b", "class B: ...")]
    assert classes_of_one_name(modules) == {"B": ["imc_service.a", "imc_service.b"]}
    assert classes_of_one_name([*modules[:1], Module("imc_service.java_door.b", "class B: ...")]) == {}


def test_every_package_has_import_rules() -> None:
    assert {modules_of(folder)[0].package for folder in FOLDERS} == set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("name", "source", "violation"),
    [
        ("imc_contracts.x", "import imc_service.logs", "imports imc_service.logs"),
        (
            "imc_contracts.x",
            "from redis.asyncio import Redis",
            "imports redis.asyncio.Redis, though contracts",
        ),
        ("imc_contracts.x", "def f():\n    import time", "imports time, though contracts do no I/O"),
        ("imc_contracts.x", "from urllib import request", "imports urllib.request, though contracts do no"),
        ("imc_service.x", "from imc_command_api import app", "imports imc_command_api.app"),
        ("imc_query_api.x", "from imc_command_api.store import y", "imports imc_command_api.store.y"),
        ("imc_push_node.x", "import imc_testkit", "imports imc_testkit"),
        ("imc_push_node.x", "from . import y", "imports ..y by a relative name"),
        (
            "imc_command_api.handlers.x",
            "from imc_command_api import http",
            "imports imc_command_api.http, which",
        ),
        (
            "imc_command_api.handlers.x",
            "from imc_command_api.bootstrap import y",
            "which lies above handlers",
        ),
        ("imc_query_api.queries.x", "from imc_query_api.http import y", "which lies above queries"),
        ("imc_command_api.domain.x", "from imc_command_api.handlers import y", "though the domain is pure"),
        ("imc_command_api.domain.x", "import orjson", "imports orjson, though the domain is pure"),
        ("imc_command_api.domain.x", "from time import time", "imports time.time, though the domain is pure"),
        ("imc_service.utils", "", "is called utils, which is meaningless"),
        ("imc_service.common.x", "", "is called common, which is meaningless"),
        ("imc_service.x", "\n" * 401, "has 401 lines"),
        ("imc_service.x", "def f():\n" + "    pass\n" * 49, "has a function of 49 lines: f"),
        ("imc_service.x", "app = fastapi.FastAPI()", "calls fastapi.FastAPI at import"),
        ("imc_service.x", "class A:\n    sent = Counter('a', 'b')", "calls Counter at import"),
        ("imc_service.x", "redis = Redis.from_url('redis://')", "calls Redis.from_url at import"),
        ("imc_service.x", "if True:\n    text = open('x').read()", "calls open at import"),
        ("imc_service.x", "def f(app=FastAPI()): ...", "calls FastAPI at import"),
        ("imc_service.x", "level = os.environ['X']", "reads the environment at import"),
    ],
)
def test_a_violation_is_found(name: str, source: str, violation: str) -> None:
    found = violations(Module(name, source))
    assert len(found) == 1
    assert found[0].startswith(name)
    assert violation in found[0]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("imc_contracts.x", "import re\nimport orjson\nfrom imc_contracts import names"),
        ("imc_contracts.x", "from urllib.parse import quote"),
        ("imc_service.x", "from imc_contracts.codes import ErrorCode\nimport asyncio"),
        ("imc_standalone.x", "from imc_push_node.bootstrap import open_push_node"),
        ("imc_command_api.http.x", "from imc_command_api.handlers.y import Z"),
        ("imc_command_api.domain.x", "import hashlib\nfrom imc_command_api.domain import y"),
        ("imc_service.x", "def f():\n    return FastAPI()\nmake = lambda: Redis()"),
        ("imc_service.__main__", "if __name__ == '__main__':\n    run(os.environ)"),
    ],
)
def test_allowed_code_has_no_violations(name: str, source: str) -> None:
    assert violations(Module(name, source)) == []


def test_an_undeclared_dependency_is_found() -> None:
    [contracts] = [folder for folder in FOLDERS if folder.name == "imc-contracts"]
    assert undeclared(contracts, [Module("imc_contracts.x", "import httpx\nimport orjson")]) == {"httpx"}


def test_a_dependency_of_an_extra_that_was_not_asked_for_is_undeclared() -> None:
    [push_node] = [folder for folder in FOLDERS if folder.name == "push-node"]
    assert undeclared(push_node, [Module("imc_push_node.x", "import aiosqlite\nimport redis")]) == {
        "aiosqlite"
    }
