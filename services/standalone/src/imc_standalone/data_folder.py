"""The folder in which an embedded log and database live."""

import contextlib
import fcntl
from collections.abc import Generator
from pathlib import Path


class DataFolderInUse(Exception):
    """Another process works in this folder."""


@contextlib.contextmanager
def locked(folder: Path) -> Generator[None]:
    """Make ``folder`` if need be and keep other processes out of it.

    Raises `DataFolderInUse`. The lock goes with the process, however that ends.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataFolderInUse(
                f"{folder.resolve()} is in use by another process: stop it, or set IMC_DATA_DIR"
            ) from None
        yield
