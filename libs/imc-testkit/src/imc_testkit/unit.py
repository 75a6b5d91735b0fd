"""Which tests start a process: all others are the fast ones (``pytest -m 'not servers'``)."""

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable, Generator, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any, cast

import pytest

from imc_testkit.child import Child


def starts_a_process(item: pytest.Item) -> bool:
    """Whether a test, or a fixture that it asks for, can come to `Child` by the names in its code."""
    return isinstance(item, pytest.Function) and any(map(_reaches_child, _functions_of(item)))


@contextlib.contextmanager
def no_processes() -> Generator[None]:
    """Let a test that starts a process all the same fail, and say why."""

    def spawn(self: Child, *more: str) -> None:
        raise AssertionError("this test starts a process, but `imc_testkit.unit` did not see that it does")

    allowed, Child.spawn = Child.spawn, spawn
    try:
        yield
    finally:
        Child.spawn = allowed


def _functions_of(item: pytest.Function) -> Iterator[Callable[..., object]]:
    """The function of a test, and those of its fixtures."""
    yield cast("Callable[..., object]", item.function)  # pyright: ignore[reportUnknownMemberType]
    manager: Any = item.session._fixturemanager  # pyright: ignore[reportPrivateUsage]
    callspec: Any = getattr(item, "callspec", None)
    parameters: list[object] = list(callspec.params.values()) if callspec else []
    waiting = [*item.fixturenames, *(each for each in parameters if isinstance(each, str))]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            for fixture in manager.getfixturedefs(name, item) or ():
                yield fixture.func
                # Besides its parameters it may ask for one by a name in a text (`request.getfixturevalue`).
                texts = [each for each in fixture.func.__code__.co_consts if isinstance(each, str)]
                waiting += [*fixture.argnames, *texts]


@functools.cache
def _reaches_child(function: Callable[..., object]) -> bool:
    seen: set[int] = set()
    waiting: list[object] = [function]
    while waiting:
        value = waiting.pop()
        if value is Child:
            return True
        if id(value) not in seen:
            seen.add(id(value))
            waiting += _named_by(value)
    return False


def _named_by(value: object) -> Iterator[object]:
    """The values that the code of a function, or of a class's methods, names, if it is code of ours."""
    if isinstance(value, type):
        if _is_ours(sys.modules.get(value.__module__)):
            yield from value.__bases__
            for member in vars(value).values():
                yield getattr(member, "fget", None) or getattr(member, "__func__", member)
        return
    function = inspect.unwrap(value) if callable(value) else None
    if not isinstance(function, FunctionType) or not _is_ours(sys.modules.get(function.__module__)):
        return
    names = set(_names_in(function.__code__))
    for name in names & function.__globals__.keys():
        named: object = function.__globals__[name]
        if isinstance(named, ModuleType):
            yield from (getattr(named, each) for each in names if _is_ours(named) and hasattr(named, each))
        else:
            yield named


def _is_ours(module: ModuleType | None) -> bool:
    """Whether a module is of the workspace; of tests, which are no packages, nothing else is known."""
    file = getattr(module, "__file__", None)
    return module is None or (
        file is not None and "site-packages" not in file and not file.startswith(sys.base_prefix)
    )


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)
