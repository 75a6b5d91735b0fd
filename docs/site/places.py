"""Where the files of the repository are in the site, and where links between them lead."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

ELSEWHERE = "repository"
"""The folder of the site for what is outside of docs/."""


@dataclass(frozen=True)
class Places:
    """The places of files below ``root``, the top of the repository."""

    root: Path

    def uri(self, path: Path) -> str:
        """The source of the page or picture that shows a file or folder, relative to docs/."""
        docs = self.root / "docs"
        if path == self.root / "README.md":
            return "index.md"
        if path.is_relative_to(docs) and path.is_file() and path.suffix not in (".py", ".toml"):
            return path.relative_to(docs).as_posix()
        uri = f"{ELSEWHERE}/{path.relative_to(self.root).as_posix()}"
        return uri if path.suffix in (".md", ".png", ".svg") else f"{uri}.md"

    def origin(self, uri: str) -> Path | None:
        """The document that a page is made from; None if it is made from something else."""
        if uri == "index.md":
            return self.root / "README.md"
        inside = Path(uri)
        if inside.parts[0] == ELSEWHERE:
            path = self.root / inside.relative_to(ELSEWHERE)
        else:
            path = self.root / "docs" / inside
        return path if path.is_file() else None

    def target(self, origin: Path, link: str) -> Path | None:
        """The file or folder that a link leads to; None if it leads to another host or stays on the page."""
        file = link.partition("#")[0]
        if not file or re.match(r"[a-z]+:", file):
            return None
        return Path(os.path.normpath(origin.parent / file))

    def rewritten(self, origin: Path, uri: str, link: str) -> str:
        """A link of the document ``origin`` as the page at ``uri`` has it."""
        path = self.target(origin, link)
        if path is None:
            return link
        if path.name.endswith(".zh-CN.md"):
            path = path.with_name(path.name.replace(".zh-CN.md", ".md"))
        _, sign, anchor = link.partition("#")
        return os.path.relpath(self.uri(path), os.path.dirname(uri) or ".") + sign + anchor
