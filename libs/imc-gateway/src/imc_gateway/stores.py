"""Where a gateway keeps its position, so that a new process continues where the old one ended."""

import os
from pathlib import Path
from typing import Protocol


class Store(Protocol):
    """Keeps one text. Write one of your own to keep it in a database, for example."""

    async def load(self) -> str | None:
        """The text that was saved last, or None."""
        ...

    async def save(self, position: str) -> None:
        """Keep ``position`` instead of the one before."""
        ...


class MemoryStore:
    """Keeps the position for as long as the process lives."""

    def __init__(self, position: str | None = None) -> None:
        self.position = position

    async def load(self) -> str | None:
        """The position, or None."""
        return self.position

    async def save(self, position: str) -> None:
        """Keep the position."""
        self.position = position


class FileStore:
    """Keeps the position in a file, which is always whole: a crash leaves the older text or the newer one."""

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)

    async def load(self) -> str | None:
        """The position, or None if there is no file. Raises `OSError`."""
        try:
            return self._path.read_text("utf-8") or None
        except FileNotFoundError:
            return None

    async def save(self, position: str) -> None:
        """Write the file anew. Raises `OSError`."""
        # Some microseconds: less than handing the work to a thread would take.
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.write_text(position, "utf-8")
        os.replace(fresh, self._path)
