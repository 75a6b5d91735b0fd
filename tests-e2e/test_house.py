"""The laws of the house, held against the source of every package."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

Function = ast.FunctionDef | ast.AsyncFunctionDef

ROOT = Path(__file__).parent.parent
FOLDERS = [
    *sorted(
        path.parent for path in ROOT.glob("*/*/pyproject.toml") if path.parts[-3] in ("libs", "services")
    ),
    ROOT / "bench",
]

LINES_OF_A_FILE = 400
LINES_OF_A_FUNCTION = 48
NAMES_THAT_SAY_NOTHING = {"utils", "util", "common", "base", "helpers", "helper", "misc"}
SERVICES = {"imc_command_api", "imc_query_api", "imc_push_node"}
MAY_IMPORT = {
    "imc_contracts": set[str](),
    "imc_service": {"imc_contracts"},
    "imc_testkit": {"imc_contracts"},
    "imc_standalone": {"imc_contracts", "imc_service", *SERVICES},
    **{service: {"imc_contracts", "imc_service"} for service in SERVICES},
    "imc_bench": {"imc_contracts", "imc_service", "imc_testkit", *SERVICES},
}
"""Which of our packages each of them may import, besides itself."""

OUTSIDE_OF_CONTRACTS = {"pydantic", "orjson", "typing_extensions"}
INPUT_AND_OUTPUT = {
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
BELOW = {
    "handlers": {"http", "app", "bootstrap", "__main__"},
    "queries": {"http", "app", "bootstrap", "__main__"},
    "http": {"app", "__main__"},
}
"""What each layer of a service may not import, since that lies above it."""

WORK = {
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
"""What no import may do: make a client, an app, a metric; read a file or the environment."""


@dataclass(frozen=True)
class Module:
    """One file of a package: its dotted name, and its source."""

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
        """Dotted names of everything imported, at any depth of the file."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found |= {f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names}
        return found


def breaches(module: Module) -> list[str]:
    """Every law that the module breaks, in words."""
    laws = (of_packages, of_contracts, of_layers, of_names, of_lengths, of_imports_that_work)
    return [f"{module.name} {breach}" for law in laws for breach in law(module)]


def of_packages(module: Module) -> Iterator[str]:
    for name in sorted(module.imports):
        top = name.partition(".")[0]
        if not top:
            yield f"imports {name} by a relative name"
        elif top.startswith("imc_") and top != module.package and top not in MAY_IMPORT[module.package]:
            yield f"imports {name}"


def of_contracts(module: Module) -> Iterator[str]:
    if module.package != "imc_contracts":
        return
    for name in sorted(module.imports):
        top = name.partition(".")[0]
        if top.startswith("imc_"):
            continue
        if top not in sys.stdlib_module_names | OUTSIDE_OF_CONTRACTS or top in INPUT_AND_OUTPUT:
            yield f"imports {name}, though contracts do nothing"


def of_layers(module: Module) -> Iterator[str]:
    own = f"{module.package}."
    for name in sorted(module.imports):
        target = name.removeprefix(own).partition(".")[0] if name.startswith(own) else None
        if target in BELOW.get(module.layer, ()):
            yield f"imports {name}, which lies above {module.layer}"
        top = name.partition(".")[0]
        ruled = (
            target == "domain" or top == "imc_contracts" or top in sys.stdlib_module_names - INPUT_AND_OUTPUT
        )
        if module.layer == "domain" and not ruled:
            yield f"imports {name}, though rules are pure"


def of_names(module: Module) -> Iterator[str]:
    for part in module.name.split("."):
        if part.strip("_") in NAMES_THAT_SAY_NOTHING:
            yield f"is called {part}, which says nothing"


def of_lengths(module: Module) -> Iterator[str]:
    lines = len(module.source.splitlines())
    if lines > LINES_OF_A_FILE:
        yield f"has {lines} lines"
    for node in ast.walk(module.tree):
        if isinstance(node, Function) and (length := body_lines(node)) > LINES_OF_A_FUNCTION:
            yield f"has a function of {length} lines: {node.name}"


def body_lines(function: Function) -> int:
    """The lines of a function's own body: without its documentation, and without the functions inside it."""
    within = {line for node in function.body for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    for node in ast.walk(function):
        if isinstance(node, Function) and node is not function:
            within -= set(range(node.lineno, (node.end_lineno or 0) + 1))
    if ast.get_docstring(function, clean=False) is not None:
        within -= set(range(function.body[0].lineno, (function.body[0].end_lineno or 0) + 1))
    return len(within)


def of_imports_that_work(module: Module) -> Iterator[str]:
    for node in run_by_import(module.tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called.rpartition(".")[2] in WORK:
                yield f"calls {called} when it is imported"
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "os.environ":
            yield "reads the environment when it is imported"


def run_by_import(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a tree that an import runs: all but bodies of functions, and what only `__main__` does."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "__main__" in ast.unparse(child.test):
            continue
        if isinstance(child, Function):
            for part in (*child.decorator_list, child.args):
                yield part
                yield from run_by_import(part)
        elif not isinstance(child, ast.Lambda):
            yield child
            yield from run_by_import(child)


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


def undeclared(folder: Path, modules: list[Module]) -> set[str]:
    """Distributions that are imported, but that neither the package nor one of ours below it depends on."""
    declared = declared_by(folder)
    imported = {name.partition(".")[0] for module in modules for name in module.imports}
    outside = {top for top in imported if top not in sys.stdlib_module_names and not top.startswith("imc_")}
    return {top for top in outside if DISTRIBUTIONS.get(top, top).replace("_", "-") not in declared}


DISTRIBUTIONS = {
    # All but the first are part of what the packages that bring them promise.
    "jwt": "pyjwt",
    "pymysql": "aiomysql",
    "starlette": "fastapi",
}


def declared_by(folder: Path) -> set[str]:
    """Names that a package depends on, with what the packages of ours among them depend on."""
    requirements = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[^A-Za-z0-9-]", requirement)[0] for requirement in requirements}
    below = [other for other in FOLDERS if names & {other.name, f"imc-{other.name}"}]
    return names.union(*(declared_by(other) for other in below))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_package_keeps_the_laws(folder: Path) -> None:
    modules = modules_of(folder)
    assert modules, "the package has a source"
    assert [breach for module in modules for breach in breaches(module)] == []
    assert (folder / "src" / modules[0].package / "py.typed").exists()
    assert undeclared(folder, modules) == set()


def test_all_packages_are_here() -> None:
    assert {modules_of(folder)[0].package for folder in FOLDERS} == set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("name", "source", "breach"),
    [
        ("imc_contracts.x", "import imc_service.logs", "imports imc_service.logs"),
        (
            "imc_contracts.x",
            "from redis.asyncio import Redis",
            "imports redis.asyncio.Redis, though contracts",
        ),
        ("imc_contracts.x", "def f():\n    import time", "imports time, though contracts do nothing"),
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
        ("imc_command_api.domain.x", "from imc_command_api.handlers import y", "though rules are pure"),
        ("imc_command_api.domain.x", "import orjson", "imports orjson, though rules are pure"),
        ("imc_command_api.domain.x", "from time import time", "imports time.time, though rules are pure"),
        ("imc_service.utils", "", "is called utils, which says nothing"),
        ("imc_service.common.x", "", "is called common, which says nothing"),
        ("imc_service.x", "\n" * 401, "has 401 lines"),
        ("imc_service.x", "def f():\n" + "    pass\n" * 49, "has a function of 49 lines: f"),
        ("imc_service.x", "app = fastapi.FastAPI()", "calls fastapi.FastAPI when it is imported"),
        ("imc_service.x", "class A:\n    sent = Counter('a', 'b')", "calls Counter when it is imported"),
        ("imc_service.x", "redis = Redis.from_url('redis://')", "calls Redis.from_url when it is imported"),
        ("imc_service.x", "if True:\n    text = open('x').read()", "calls open when it is imported"),
        ("imc_service.x", "def f(app=FastAPI()): ...", "calls FastAPI when it is imported"),
        ("imc_service.x", "level = os.environ['X']", "reads the environment when it is imported"),
    ],
)
def test_a_breach_is_caught(name: str, source: str, breach: str) -> None:
    found = breaches(Module(name, source))
    assert len(found) == 1
    assert found[0].startswith(name)
    assert breach in found[0]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("imc_contracts.x", "import re\nimport orjson\nfrom imc_contracts import names"),
        ("imc_service.x", "from imc_contracts.codes import ErrorCode\nimport asyncio"),
        ("imc_standalone.x", "from imc_push_node.bootstrap import open_push_node"),
        ("imc_command_api.http.x", "from imc_command_api.handlers.y import Z"),
        ("imc_command_api.domain.x", "import hashlib\nfrom imc_command_api.domain import y"),
        ("imc_service.x", "def f():\n    return FastAPI()\nmake = lambda: Redis()"),
        ("imc_service.__main__", "if __name__ == '__main__':\n    run(os.environ)"),
    ],
)
def test_what_is_allowed_is_left_alone(name: str, source: str) -> None:
    assert breaches(Module(name, source)) == []


def test_an_undeclared_dependency_is_caught() -> None:
    [contracts] = [folder for folder in FOLDERS if folder.name == "imc-contracts"]
    assert undeclared(contracts, [Module("imc_contracts.x", "import httpx\nimport orjson")]) == {"httpx"}
