"""Names of other packages that we use though nobody promises them, and the modules that may.

A new version may change what is private or undocumented. Each package that we hook into has a ceiling, and
each such name is listed here. Other modules use no private name of another package at all.
"""

import ast
import inspect
import tomllib
from dataclasses import dataclass
from pathlib import Path

import aiomysql
import aiomysql.connection
import aiosqlite
import hiredis
import httptools
import pymysql.err
import pytest
import redis.asyncio.connection
import uvicorn
import uvicorn.server
from packaging.requirements import Requirement
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import Protocol
from websockets.streams import StreamReader

ROOT = Path(__file__).parent.parent
_KIT, _PUSH = "libs/imc-service/src/imc_service", "services/push-node/src/imc_push_node"


@dataclass(frozen=True)
class Hooks:
    """What we use of a package: the modules that do, and the names that each object of it must have."""

    modules: tuple[str, ...]
    names: dict[object, tuple[str, ...]]
    declared_by: tuple[str, ...] = ("libs/imc-service",)


HOOKS = {
    "aiomysql": Hooks(
        (f"{_KIT}/database/_drivers.py", f"{_KIT}/database/_sessions.py"),
        {
            aiomysql.connection.Connection: (
                *("_secure", "_reader", "_writer", "_execute_command", "server_status"),
                *("get_transaction_status", "escape", "_password", "encode('latin1')"),
            ),
            aiomysql.connection._StreamReader: ("eof_received",),  # pyright: ignore
            aiomysql.Cursor: ("if args is not None",),  # pyright: ignore
        },
    ),
    "aiosqlite": Hooks(
        (f"{_KIT}/database/_drivers.py",),
        {aiosqlite.Connection: ("__aenter__", "close", "self._thread = Thread(")},
    ),
    "pymysql": Hooks(
        (f"{_KIT}/database/_mysql_rows.py", f"{_KIT}/database/errors.py"),
        {pymysql.err: ("raise_mysql_exception",), pymysql.err.Error: ("sqlstate",)},
    ),
    "redis": Hooks(
        (f"{_KIT}/redis/connections.py",),
        {
            redis.asyncio.connection.AbstractConnection: (
                *("_reader", "_writer", "pack_command", "send_packed_command", "read_response"),
                *("is_connected",),
                *("async def connect(", "async def disconnect(", "nowait: bool"),
            ),
            redis.asyncio.connection.Connection: ("self.host", "self.port"),
            redis.asyncio.connection.ConnectionPool: (
                *("self.connection_class", "self.connection_kwargs", "def make_connection("),
            ),
        },
        ("libs/imc-service", "services/push-node"),
    ),
    "hiredis": Hooks(
        (f"{_KIT}/redis/connections.py", f"{_PUSH}/pubsub/connection.py"),
        {hiredis: ("pack_command", "Reader", "PushNotification")},
    ),
    "httptools": Hooks(
        (f"{_KIT}/http1/requests.py",),
        {
            httptools.HttpRequestParser: ("set_dangerous_leniencies", "should_upgrade", "should_keep_alive"),
            httptools: ("HttpParserUpgrade", "HttpParserError"),
        },
    ),
    "uvicorn": Hooks(
        (f"{_KIT}/http/server.py", f"{_KIT}/http1/protocol.py", f"{_PUSH}/gateway/websocket.py"),
        {
            uvicorn.Server: (
                *("def capture_signals", "async def startup", "async def main_loop", "async def on_tick"),
                *("self.started", "self.should_exit"),
                *("self.force_exit", "encoded_headers", "self.server_state"),
            ),
            uvicorn.server.ServerState: (*("total_requests", "connections", "tasks", "default_headers"),),
            uvicorn.Config: (
                *("encoded_headers", "loaded_app", "asgi_version", "ws_protocol_class", "timeout_keep_alive"),
            ),
            WebSocketsSansIOProtocol: (
                *("self.conn", "self.transport", "self.queue", "self.writable", "self.scope", "self.app"),
                *("self.loop", "self.logger", "self.default_headers", "self.close_sent", "self.close_timer"),
                *("self.handshake_initiated", "self.handshake_complete", "self.initial_response"),
                *("self.request", "self.response"),
                *("def handle_connect", "def handle_events", "def handle_cont", "def handle_text"),
                *("def handle_bytes", "def handle_close", "def handle_parser_exception"),
                *("def send_500_response", "async def run_asgi", "def shutdown", "def eof_received"),
            ),
        },
        ("libs/imc-service", "services/push-node"),
    ),
    "websockets": Hooks(
        (f"{_PUSH}/gateway/frame_parser.py", f"{_PUSH}/gateway/websocket.py", f"{_KIT}/http1/handshakes.py"),
        {
            Protocol: ("self.parser", "self.reader", "self.parser_exc", "def fail", "def data_to_send"),
            StreamReader: ("self.buffer", "def at_eof", "def discard"),
        },
        ("libs/imc-service", "services/push-node"),
    ),
}


@pytest.mark.parametrize("package", HOOKS)
def test_the_names_are_there(package: str) -> None:
    hooks = HOOKS[package]
    for owner, names in hooks.names.items():
        for name in names:
            assert has(owner, name), (
                f"{package} has no {name} in {owner} any more. Look at {', '.join(hooks.modules)} and at the "
                f"release notes of {package}; raise its ceiling in pyproject.toml when that is settled"
            )


def has(owner: object, name: str) -> bool:
    """Whether an object has an attribute, or a class is written with this text."""
    if name.isidentifier() and hasattr(owner, name):
        return True
    return inspect.isclass(owner) and any(name in source_of(each) for each in owner.__mro__)


def source_of(owner: type) -> str:
    try:
        return inspect.getsource(owner)
    except (OSError, TypeError):  # it is compiled
        return ""


@pytest.mark.parametrize("package", HOOKS)
def test_a_package_that_is_hooked_into_has_a_ceiling(package: str) -> None:
    for folder in HOOKS[package].declared_by:
        project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
        extras = project.get("optional-dependencies", {}).values()
        needs = [*project["dependencies"], *(need for extra in extras for need in extra)]
        [need] = [need for need in map(Requirement, needs) if need.name == package]
        operators = {bound.operator for bound in need.specifier}
        assert operators == {">=", "<"}, f"{need} in {folder} needs a floor and a ceiling"


def test_the_modules_that_hook_are_there() -> None:
    for hooks in HOOKS.values():
        for module in hooks.modules:
            assert (ROOT / module).exists(), module


PUBLIC = {"_replace", "_asdict", "_fields", "_make"}
"""What named tuples promise, though it begins with an underscore."""

HOOKED = {module for hooks in HOOKS.values() for module in hooks.modules}
SOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("libs/imc-contracts", "libs/imc-service", "services/*")
    for path in ROOT.glob(f"{folder}/src/**/*.py")
)


def foreign_private_names(source: str) -> list[str]:
    """The private names in a module that it does not set itself, and that it uses of another object."""
    nodes = list(ast.walk(ast.parse(source)))
    attributes = [node for node in nodes if isinstance(node, ast.Attribute) and is_private(node.attr)]
    own = {node.attr for node in attributes if ast.unparse(node.value) in ("self", "cls")}
    own |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    own |= {slot for node in nodes if isinstance(node, ast.Constant) and isinstance(slot := node.value, str)}
    used = {f"{ast.unparse(node.value)}.{node.attr}" for node in attributes if node.attr not in own}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("imc_"):
            used |= {f"{node.module}.{alias.name}" for alias in node.names if is_private(alias.name)}
    return sorted(used)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def test_no_other_module_uses_a_private_name_of_another_package() -> None:
    others = [source for source in SOURCES if source not in HOOKED]
    assert len(others) > 100
    found = {source: foreign_private_names((ROOT / source).read_text()) for source in others}
    assert {source: names for source, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def f(connection):\n    return connection._reader", ["connection._reader"]),
        ("x = a.b()._c", ["a.b()._c"]),
        ("from redis.asyncio.connection import _Parser", ["redis.asyncio.connection._Parser"]),
        ("class A:\n    def f(self, other):\n        self._x = other._x", []),
        ("row._replace(a=1)", []),
        ("from imc_service.database import _drivers", []),
    ],
)
def test_a_private_name_is_found(source: str, names: list[str]) -> None:
    assert foreign_private_names(source) == names


def test_a_name_that_is_gone_is_found() -> None:
    assert has(uvicorn.Server, "self.started")
    assert not has(uvicorn.Server, "self.began")
    assert not has(hiredis, "no_such_name")
