"""Replaces functions of IMC in the current process."""

from collections.abc import Callable
from pkgutil import resolve_name
from typing import Any


def replace(target: str, make: Callable[[Any], Any]) -> None:
    """Replace ``target``, such as ``"package.module:Class.method"``, by ``make(original)``.

    Raises `ModuleNotFoundError` or `AttributeError` if the target does not exist.
    """
    module, _, path = target.partition(":")
    owner_path, _, name = path.rpartition(".")
    owner = resolve_name(f"{module}:{owner_path}")
    setattr(owner, name, make(getattr(owner, name)))


def with_text(text: str, old: str, new: str) -> str:
    """Return ``text`` with ``old`` replaced by ``new``. Raises `ValueError` if it lacks ``old``."""
    if old not in text:
        raise ValueError(f"the text does not hold {old!r}")
    return text.replace(old, new)
