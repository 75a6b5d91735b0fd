"""Files of apps for tests."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from imc_contracts.policies import Policies


def policies_text(apps: Mapping[str, Mapping[str, Any]], defaults: Mapping[str, Any] | None = None) -> str:
    """The text of a file with these tables, such as ``{"demo": {"quotas": {"gateways": 2}}}``."""
    return f"defaults = {_toml(defaults or {})}\napps = {_toml(apps)}\n"


def quotas_text(apps: Mapping[str, Mapping[str, Any]]) -> str:
    """The text of a file that gives apps these quotas, such as ``{"demo": {"gateways": 2}}``."""
    return policies_text({app_id: {"quotas": quota} for app_id, quota in apps.items()})


def policies_of(text: str) -> Policies:
    """The policies of a text."""
    policies = Policies()
    policies.read(text)
    return policies


class FileOfApps:
    """A file of apps that is replaced as orchestrators do: by another that comes into its place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write("")

    def write(self, text: str) -> None:
        """Replace the content."""
        new = self.path.with_name("new")
        new.write_text(text)
        new.rename(self.path)


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        table = cast("Mapping[str, Any]", value)
        return f"{{ {', '.join(f'{json.dumps(key)} = {_toml(each)}' for key, each in table.items())} }}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_toml, cast('Sequence[Any]', value)))}]"
    return value.isoformat() if isinstance(value, datetime) else json.dumps(value)
