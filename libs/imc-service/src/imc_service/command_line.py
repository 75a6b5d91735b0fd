"""The command line of every program: ``--help`` with its settings and an example, ``--version``."""

import argparse
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from imc_service.settings import Settings

_WIDTH = 100


@dataclass(frozen=True)
class Program:
    """A console script and what its help says."""

    name: str
    """The script, such as ``imc-push-node``."""

    package: str
    """The distribution that holds the script. Its version is the script's."""

    purpose: str
    """What it does, in a sentence or two."""

    settings: tuple[type[Settings], ...]
    """What it reads from the environment. If several read a variable, the first describes it."""

    example: str
    """A command that works once its addresses are replaced."""

    unread: frozenset[str] = frozenset()
    """Variables of ``settings`` that this program does not read."""

    @property
    def service(self) -> str:
        """The name under which it logs."""
        return self.name.removeprefix("imc-")

    @property
    def version(self) -> str:
        """The version of its package."""
        return metadata.version(self.package)

    def parser(self) -> argparse.ArgumentParser:
        """A parser that knows ``--help`` and ``--version``; anything else is an error, with exit status 2."""
        parser = argparse.ArgumentParser(
            prog=self.name,
            description=self.purpose,
            epilog=f"{self._described_settings()}example:\n{textwrap.indent(self.example, '  ')}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        parser.add_argument("--version", action="version", version=f"{self.name} {self.version}")
        return parser

    def _described_settings(self) -> str:
        if not self.settings:
            return ""
        paragraphs = [
            textwrap.fill(f"{variable}: {meaning}", _WIDTH, initial_indent="  ", subsequent_indent="      ")
            for variable, meaning in self._meanings()
        ]
        return "\n".join(["settings, which are environment variables:", *paragraphs, "", ""])

    def _meanings(self) -> Iterator[tuple[str, str]]:
        told = set(self.unread)
        for model in self.settings:
            for name, field in model.model_fields.items():
                variable = field.alias or name
                if variable in told:
                    continue
                told.add(variable)
                if field.is_required():
                    default = " (required)"
                else:
                    default = f" (default: {field.default})" if field.default not in (None, "") else ""
                yield variable, f"{field.description or ''}{default}"
