"""The files of the project: without what `make` and its tools put beside them."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
HIDDEN_FOLDERS_OF_THE_PROJECT = {".github", ".ci"}


def project_files(*suffixes: str) -> list[Path]:
    """All files with one of the suffixes.

    Hidden folders (environments such as ``.venv-3.11``, caches, data) are not part of the project.
    Neither are packages of npm.
    """
    found = (path for suffix in suffixes for path in ROOT.rglob(f"*{suffix}"))
    return sorted(path for path in found if not any(map(_is_foreign, path.relative_to(ROOT).parts[:-1])))


def _is_foreign(folder: str) -> bool:
    is_hidden = folder.startswith(".") and folder not in HIDDEN_FOLDERS_OF_THE_PROJECT
    return is_hidden or folder == "node_modules"
