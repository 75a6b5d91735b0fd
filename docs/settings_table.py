"""Writes the table of settings into both READMEs, from the settings themselves; ``--check`` only compares."""

import sys
from collections import Counter
from pathlib import Path

from imc_command_api.dead_letters.settings import DeadLettersSettings
from imc_command_api.migrations.settings import MigrateSettings
from imc_command_api.projector.settings import ProjectorSettings
from imc_command_api.settings import CommandApiSettings
from imc_push_node.settings import PushNodeSettings
from imc_query_api.settings import QueryApiSettings
from imc_service.access.settings import TokenSettings
from imc_service.settings import Settings
from imc_standalone.settings import MADE_UP, StandaloneSettings

ROOT = Path(__file__).parents[1]
BEGIN = "<!-- settings: made by `make settings-table` -->\n"
END = "<!-- settings end -->"
HEADS = {
    "README.md": "| variable | default | read by | what it means |\n|---|---|---|---|\n",
    "README.zh-CN.md": "| 变量 | 默认值 | 由谁读取 | 含义 |\n|---|---|---|---|\n",
}
PROCESSES: dict[str, type[Settings]] = {
    "command-api": CommandApiSettings,
    "projector": ProjectorSettings,
    "query-api": QueryApiSettings,
    "push-node": PushNodeSettings,
    "migrate": MigrateSettings,
    "deadletters": DeadLettersSettings,
    "standalone": StandaloneSettings,
    "imc-token": TokenSettings,
}


def table() -> str:
    """A row for each variable, with the default of each process that has another one."""
    readers: dict[str, list[str]] = {}
    defaults: dict[str, dict[str, str]] = {}
    meanings: dict[str, str] = {}
    for process, model in PROCESSES.items():
        for name, field in model.model_fields.items():
            variable = field.alias or name
            default = "**required**" if field.is_required() else _text(field.default)
            readers.setdefault(variable, []).append(process)
            defaults.setdefault(variable, {})[process] = default
            meanings.setdefault(variable, field.description or "")
    return "".join(
        f"| `{variable}` | {_defaults(defaults[variable])} | {_readers(variable, readers[variable])} "
        f"| {meanings[variable]} |\n"
        for variable in readers
    )


def _text(default: object) -> str:
    return "" if default is None else f"`{default}`"


def _defaults(by_process: dict[str, str]) -> str:
    """The default of most processes, then those that have another."""
    common = Counter(by_process.values()).most_common(1)[0]
    if common[1] == 1 and len(by_process) > 1:
        return ", ".join(f"{default} ({process})" for process, default in by_process.items())
    others = [
        f"{default or 'none'} ({process})" for process, default in by_process.items() if default != common[0]
    ]
    return ", ".join(filter(None, [common[0], *others]))


def _readers(variable: str, processes: list[str]) -> str:
    # Standalone hands its whole environment to its parts.
    if "standalone" not in processes and variable not in MADE_UP and processes != ["migrate"]:
        processes = [*processes, "standalone"]
    return "all" if len(processes) == len(PROCESSES) else ", ".join(processes)


def main() -> None:
    """Write the tables, or with ``--check`` end with status 1 if one is stale."""
    stale: list[str] = []
    for name, head in HEADS.items():
        readme = ROOT / name
        text = readme.read_text("utf-8")
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        made = before + BEGIN + head + table() + END + after
        if made != text:
            stale.append(name)
            if "--check" not in sys.argv:
                readme.write_text(made, "utf-8")
    if stale and "--check" in sys.argv:
        sys.exit(f"the table of settings in {', '.join(stale)} is stale: make settings-table")


if __name__ == "__main__":
    main()
