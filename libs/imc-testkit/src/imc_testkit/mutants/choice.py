"""The changes that there are, those that a run makes of them, and those that change nothing."""

import functools
import random
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from itertools import zip_longest
from pathlib import Path

from imc_testkit.mutants import of_lua, of_python
from imc_testkit.mutants.change import Change
from imc_testkit.mutants.subjects import AREAS, Area


@dataclass(frozen=True, slots=True)
class Equivalent:
    """A change that is known to break no promise: the changed lines before and after, and why."""

    file: str
    before: str
    after: str
    reason: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change of a module, and the area that has to notice it."""

    area: Area
    change: Change
    source: str

    @property
    def name(self) -> str:
        """Where it is, and what becomes what, in one line."""
        before, after = self.change.lines(self.source)
        where = f"{self.change.file}:{self.change.line(self.source)}"
        return f"{where} {self.change.kind}: {before} -> {after or 'nothing'}"


def known_equivalents() -> list[Equivalent]:
    """Those that are listed."""
    text = files("imc_testkit.mutants").joinpath("equivalents.toml").read_text("utf-8")
    return [Equivalent(**entry) for entry in tomllib.loads(text).get("equivalent", [])]


def is_equivalent(mutant: Mutant, equivalents: list[Equivalent]) -> Equivalent | None:
    """The listed change that ``mutant`` is, or None."""
    key = (mutant.change.file, *mutant.change.lines(mutant.source))
    return next((each for each in equivalents if (each.file, each.before, each.after) == key), None)


def all_of(root: Path, file: str) -> list[Change]:
    """Every change of a file."""
    return _changes_of(file, (root / file).read_text("utf-8"))


@functools.cache
def _changes_of(file: str, source: str) -> list[Change]:
    return (of_lua if file.endswith(".lua") else of_python).changes(file, source)


def choose(root: Path, count: int, seed: int, only: str = "") -> list[Mutant]:
    """``count`` changes at random, about as many of each area, and within an area of each module.

    ``only`` names an area, or is part of a module's path. Raises `ValueError` if it fits nothing.
    """
    chosen_areas: list[list[Mutant]] = []
    named = [area for area in AREAS if area.name == only]
    for area in named or AREAS:
        modules = [module for module in area.modules if named or only in module]
        of_modules = [_shuffled(root, area, module, seed) for module in modules]
        if of_modules:
            chosen_areas.append(_dealt(of_modules))
    if not chosen_areas:
        raise ValueError(f"no area is called {only!r}, and no module has that in its path")
    return _dealt(chosen_areas)[:count]


def _shuffled(root: Path, area: Area, module: str, seed: int) -> list[Mutant]:
    source = (root / module).read_text("utf-8")
    mutants = [Mutant(area, change, source) for change in all_of(root, module)]
    # By module, so that a change of one module leaves the choice within the others as it was.
    random.Random(f"{seed} {module}").shuffle(mutants)  # noqa: S311
    return mutants


def _dealt(lists: list[list[Mutant]]) -> list[Mutant]:
    """One of each list in turn, until all are used up."""
    return [mutant for turn in zip_longest(*lists) for mutant in turn if mutant is not None]
