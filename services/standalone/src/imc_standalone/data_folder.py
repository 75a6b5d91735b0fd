"""The folder in which an embedded log and database live."""

import contextlib
import fcntl
import os
import sys
from collections.abc import Generator
from pathlib import Path

from imc_service.settings import SettingsError, exit_with


def open_private(path: str | Path, flags: int) -> int:
    """An opener for `open`: files it makes are for this user alone, and so become those that were there."""
    descriptor = os.open(path, flags, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor


@contextlib.contextmanager
def locked(folder: Path) -> Generator[None]:
    """Make ``folder`` if need be and keep other processes out of it.

    Raises `SystemExit` with one line: status 2 if there can be no such folder, 1 if another process uses it.
    The lock goes with the process, however that ends.
    """
    with _opened_lock(folder) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"{folder.absolute()} is in use by another process: stop it, or set IMC_DATA_DIR")
        yield


@contextlib.contextmanager
def _opened_lock(folder: Path) -> Generator[int]:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = open_private(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    except OSError as error:
        fault = f"IMC_DATA_DIR: {folder.absolute()} can't be used: {error.strerror}"
        exit_with(SettingsError(f"{fault} (it must be a folder that this process may write to)"))
    try:
        yield lock
    finally:
        os.close(lock)
