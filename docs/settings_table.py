"""Writes the tables of settings into docs/settings*.md, from the settings; ``--check`` only compares.

Meanings in English stand in the settings, those in Chinese in ``settings.zh-CN.toml``.
"""

import sys
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imc_cli.checks.settings import CheckSettings
from imc_command_api.dead_letters.settings import DeadLettersSettings
from imc_command_api.migrations.settings import MigrateSettings
from imc_command_api.projector.settings import ProjectorSettings
from imc_command_api.settings import CommandApiSettings
from imc_push_node.settings import PushNodeSettings
from imc_query_api.settings import QueryApiSettings
from imc_service.auth.settings import TokenSettings
from imc_service.settings import Settings
from imc_standalone.settings import MADE_UP, StandaloneSettings

DOCS = Path(__file__).parent
BEGIN = "<!-- settings: made by `make settings-table` -->\n"
END = "<!-- settings end -->"
PROCESSES: dict[str, type[Settings]] = {
    "command-api": CommandApiSettings,
    "projector": ProjectorSettings,
    "query-api": QueryApiSettings,
    "push-node": PushNodeSettings,
    "migrate": MigrateSettings,
    "imc deadletters": DeadLettersSettings,
    "standalone": StandaloneSettings,
    "imc token": TokenSettings,
    "imc check": CheckSettings,
}


@dataclass(frozen=True)
class Language:
    """The words of a table in some language."""

    head: str
    required: str
    none: str
    all: str


ENGLISH = Language("| variable | default | read by | what it means |\n", "**required**", "none", "all")
CHINESE = Language("| 变量 | 默认值 | 由谁读取 | 含义 |\n", "**必需**", "无", "全部")


def meanings_in_english() -> dict[str, str]:
    """What each variable means, in the order of the processes that read it."""
    meanings: dict[str, str] = {}
    for model in PROCESSES.values():
        for name, field in model.model_fields.items():
            meanings.setdefault(field.alias or name, field.description or "")
    return meanings


def meanings_in_chinese() -> dict[str, str]:
    """The same in Chinese, of those variables that have been translated."""
    return tomllib.loads((DOCS / "settings.zh-CN.toml").read_text("utf-8"))


def table(words: Language, meanings: Mapping[str, str]) -> str:
    """A row for each variable, with the default of each process that has another one."""
    readers: dict[str, list[str]] = {}
    defaults: dict[str, dict[str, str]] = {}
    for process, model in PROCESSES.items():
        for name, field in model.model_fields.items():
            variable = field.alias or name
            readers.setdefault(variable, []).append(process)
            default = words.required if field.is_required() else _text(field.default)
            defaults.setdefault(variable, {})[process] = default
    return f"{words.head}|---|---|---|---|\n" + "".join(
        f"| `{variable}` | {_defaults(defaults[variable], words)} "
        f"| {_readers(variable, readers[variable], words)} | {meanings[variable]} |\n"
        for variable in readers
    )


def _text(default: object) -> str:
    return f"`{default}`" if default not in (None, "") else ""


def _defaults(by_process: dict[str, str], words: Language) -> str:
    """The default of most processes, then those that have another."""
    common = Counter(by_process.values()).most_common(1)[0]
    if common[1] == 1 and len(by_process) > 1:
        return ", ".join(f"{default} ({process})" for process, default in by_process.items())
    others = [
        f"{default or words.none} ({process})"
        for process, default in by_process.items()
        if default != common[0]
    ]
    return ", ".join(filter(None, [common[0], *others]))


def _readers(variable: str, processes: list[str], words: Language) -> str:
    # Standalone hands its whole environment to its parts.
    if "standalone" not in processes and variable not in MADE_UP and processes != ["migrate"]:
        processes = [*processes, "standalone"]
    return words.all if len(processes) == len(PROCESSES) else ", ".join(processes)


def main() -> None:
    """Write the tables; with ``--check`` only compare.

    Ends with status 1 if a table is stale, or if a variable lacks its Chinese meaning.
    """
    english, chinese = meanings_in_english(), meanings_in_chinese()
    faults = [f"docs/settings.zh-CN.toml lacks {name}" for name in english if name not in chinese]
    faults += [
        f"docs/settings.zh-CN.toml has {name}, which nobody reads" for name in chinese.keys() - english
    ]
    for name, words, meanings in (
        ("settings.md", ENGLISH, english),
        ("settings.zh-CN.md", CHINESE, english | chinese),
    ):
        text = (DOCS / name).read_text("utf-8")
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        made = before + BEGIN + table(words, meanings) + END + after
        if made != text and "--check" in sys.argv:
            faults.append(f"docs/{name} is stale: make settings-table")
        elif made != text:
            (DOCS / name).write_text(made, "utf-8")
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
