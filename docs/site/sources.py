"""Pages that show a file or folder of the repository that documents link to."""

import ast
from pathlib import Path

LANGUAGES = {
    ".acl": "text",
    ".conf": "nginx",
    ".java": "java",
    ".js": "javascript",
    ".json": "json",
    ".lua": "lua",
    ".py": "python",
    ".sh": "sh",
    ".sql": "sql",
    ".toml": "toml",
    ".yaml": "yaml",
    ".yml": "yaml",
}
NOT_SEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"


def shown(path: Path, root: Path) -> str:
    """A page with the text of a file or the files of a folder; ``root`` is the top of the repository."""
    name = path.relative_to(root).as_posix()
    return f"{NOT_SEARCHED}# {path.name}\n\n`{name}`\n\n" + (
        _listed(path) if path.is_dir() else _printed(path)
    )


def _printed(path: Path) -> str:
    return f"~~~~{LANGUAGES.get(path.suffix, 'text')}\n{path.read_text('utf-8')}\n~~~~\n"


def _listed(folder: Path) -> str:
    names = (
        each for each in sorted(folder.iterdir()) if not each.name.startswith((".", "__", "node_modules"))
    )
    return "".join(f"- `{each.name}`{_purpose(each)}\n" for each in names)


def _purpose(path: Path) -> str:
    """The first sentence of a module."""
    if path.suffix != ".py":
        return ""
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return f": {text.splitlines()[0]}" if text else ""
