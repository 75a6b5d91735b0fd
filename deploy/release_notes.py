"""Prints what CHANGELOG.md says of a release, whose tag is the argument: ``release_notes.py v1.2.3``."""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def notes(tag: str, number: str, changelog: str) -> str:
    """The section of version ``number``; raises `ValueError` if the tag is another, or there is none."""
    if tag != f"v{number}":
        raise ValueError(f"the tag is {tag}, but pyproject.toml has the version {number}")
    head = re.escape(f"## [{number}]")
    found = re.search(rf"^{head}[^\n]*\n(.*?)(?=^## \[|\Z)", changelog, re.MULTILINE | re.DOTALL)
    if found is None or not found[1].strip():
        raise ValueError(f"CHANGELOG.md has no section [{number}]")
    return found[1].strip() + "\n"


def main() -> None:
    """Print the section, or end with status 1 and the reason."""
    [tag] = sys.argv[1:] or [""]
    number = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    try:
        sys.stdout.write(notes(tag, number, (ROOT / "CHANGELOG.md").read_text()))
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
