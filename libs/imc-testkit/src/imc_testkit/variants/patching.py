"""Putting something else in the place of a part of a process of ours."""

from collections.abc import Callable
from pkgutil import resolve_name
from typing import Any


def replace(target: str, make: Callable[[Any], Any]) -> None:
    """Put ``make(original)`` in the place of ``target``, such as ``"package.module:Class.method"``.

    Raises `ModuleNotFoundError` or `AttributeError` if there is nothing in that place.
    """
    module, _, path = target.partition(":")
    owner_path, _, name = path.rpartition(".")
    owner = resolve_name(f"{module}:{owner_path}")
    setattr(owner, name, make(getattr(owner, name)))


def replace_text(target: str, old: str, new: str) -> None:
    """As `replace`, in a text. Raises `ValueError` if ``old`` is not in it."""
    replace(target, lambda text: with_text(text, old, new))


def with_text(text: str, old: str, new: str) -> str:
    """``text`` with ``new`` for ``old``. Raises `ValueError` if ``old`` is not in it."""
    if old not in text:
        raise ValueError(f"the text does not hold {old!r}")
    return text.replace(old, new)
