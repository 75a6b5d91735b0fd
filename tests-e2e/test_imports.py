"""Checks how the modules of each package import each other, as drawn in the source."""

import ast
import graphlib
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

import pytest
from test_house import FOLDERS, ROOT, Module, modules_of

PUSH_NODE_ROOMS = (
    {"gateway", "pubsub", "metrics", "settings"},
    {"stream", "forwarding"},
    {"cluster"},
    {"http"},
    {"bootstrap"},
    {"app"},
    {"__main__"},
)
"""The rooms of push-node, its packages and top modules, from below. Each imports from lower floors only."""

MAX_IN_TOP_FOLDER = 12
GATEWAY_WRITERS = {"imc_push_node.gateway.gateway", "imc_push_node.stream.delivery"}
"""The modules that may change the fields of a gateway."""


def imports_within(modules: list[Module]) -> dict[str, set[str]]:
    """The modules of a package that each of its modules imports."""
    names = {module.name for module in modules}
    return {
        module.name: {
            found
            for name in module.imports
            # `from package import module` names a module, `from module import name` does not.
            if (found := name if name in names else name.rpartition(".")[0]) in names
        }
        for module in modules
    }


def cycle_in(imports: Mapping[str, Set[str]]) -> list[str]:
    """A cycle of imports, if there is one."""
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def room_of(name: str) -> str:
    """The package below the top that a module belongs to. A module of the top folder is its own room."""
    return (*name.split("."), "")[1]


def floors(modules: list[Module]) -> list[set[str]]:
    """The rooms of a package by floor: each stands above all rooms that it imports from."""
    below: dict[str, set[str]] = {}
    for name, imported in imports_within(modules).items():
        rooms = {room_of(each) for each in imported} - {room_of(name), ""}
        below.setdefault(room_of(name), set()).update(rooms)
    del below[""]
    found: list[set[str]] = []
    sorter = graphlib.TopologicalSorter(below)
    sorter.prepare()
    while ready := sorter.get_ready():
        found.append(set(ready))
        sorter.done(*ready)
    return found


def gateway_writes(module: Module) -> Iterator[str]:
    """Assignments to fields of a gateway, by the names that gateways have in the code."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            owner = ast.unparse(node.value).rpartition(".")[2].strip("_")
            if owner == "gateway":
                yield f"{module.name} writes {ast.unparse(node)}"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_no_modules_import_each_other_in_a_circle(folder: Path) -> None:
    assert cycle_in(imports_within(modules_of(folder))) == []


def test_push_node_has_few_floors_and_imports_only_from_lower_ones() -> None:
    modules = modules_of(ROOT / "services/push-node")
    rooms = set[str]().union(*PUSH_NODE_ROOMS)
    assert {room_of(module.name) for module in modules} - {""} == rooms
    assert len(rooms) <= MAX_IN_TOP_FOLDER
    assert len(floors(modules)) <= len(PUSH_NODE_ROOMS)
    floor_of = {room: floor for floor, rooms in enumerate(PUSH_NODE_ROOMS) for room in rooms}
    upward = [
        f"{name} imports {imported}"
        for name, all_imported in imports_within(modules).items()
        for imported in all_imported
        if (here := room_of(name)) and (there := room_of(imported)) and here != there
        if floor_of[here] <= floor_of[there]
    ]
    assert upward == []


def test_floors_are_drawn_and_circles_found() -> None:
    sources = {
        "p": "",
        "p.top": "from p.a import x\nfrom p import b",
        "p.a.m": "from p.a import n",
        "p.a": "",
    }
    modules = [
        Module(name, source) for name, source in {**sources, "p.a.n": "", "p.b": "import p.a.n"}.items()
    ]
    assert floors(modules) == [{"a"}, {"b"}, {"top"}]
    assert cycle_in(imports_within(modules)) == []
    circle = [Module("p.a", "from p.b import x"), Module("p.b", "def f():\n    from p import a")]
    assert set(cycle_in(imports_within(circle))) == {"p.a", "p.b"}


def test_only_their_owners_write_the_fields_of_gateways() -> None:
    modules = modules_of(ROOT / "services/push-node")
    writes = [
        write for module in modules if module.name not in GATEWAY_WRITERS for write in gateway_writes(module)
    ]
    assert writes == []
    planted = Module(
        "imc_push_node.x", "self._gateway.position = 1\ngateway.number += 1\ngateway.socket.x = 1"
    )
    assert len(list(gateway_writes(planted))) == 2
