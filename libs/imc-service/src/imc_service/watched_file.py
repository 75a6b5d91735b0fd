"""A file whose text is in force: it is read again whenever it changes."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from prometheus_client import Gauge
from pydantic import AfterValidator

from imc_service import background, ticks
from imc_service.logs import get_logger

logger = get_logger("watched_file")

LOOK_SECONDS = 1.0

Read = Callable[[str, str], object]
"""Puts a text in force. Gets the suffix of its file too, such as ``.toml``.

Raises `ValueError` with the reason if the text can't be used. Then what was in force before stays.
"""


def usable_by(read: Read) -> AfterValidator:
    """The check of a setting that names a file: ``read`` must take its content."""

    def check(path: Path) -> Path:
        _read_file(path, read)
        return path

    return AfterValidator(check)


class FileFault:
    """Why a file can't be used now. ``stale`` is 1 as long."""

    def __init__(self, stale: Gauge) -> None:
        self._stale = stale
        self._words: str | None = None

    def words(self) -> str | None:
        """The reason, or None."""
        return self._words

    def set(self, words: str | None) -> None:
        """Keep the reason, or None if the file can be used."""
        self._words = words
        self._stale.set(words is not None)


@contextlib.asynccontextmanager
async def in_force(read: Read, path: Path, fault: FileFault) -> AsyncGenerator[None]:
    """Keep the content of the file at ``path`` in force while the context lasts.

    While a changed file can't be used, older content stays in force, and ``fault`` has the reason. Raises
    `ValueError` if what there is at the start can't be used.
    """
    seen = await asyncio.to_thread(_stamp, path)
    await asyncio.to_thread(_read_file, path, read)
    async with background.running(_watch(path, read, seen, fault)):
        yield


async def _watch(path: Path, read: Read, seen: object, fault: FileFault) -> None:
    while True:
        await asyncio.sleep(ticks.pause(LOOK_SECONDS))
        stamp = await asyncio.to_thread(_stamp, path)
        if stamp == seen:
            continue
        try:
            await asyncio.to_thread(_read_file, path, read)
        except ValueError as error:
            words = f"{path.name} can't be used, its older content stays: {error}"
            fault.set(words)
            logger.error("a file can't be used; its older content stays", file=path.name, fault=str(error))
        else:
            fault.set(None)
            logger.info("a file was read again", file=path.name)
        seen = stamp


def _read_file(path: Path, read: Read) -> None:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"it can't be read ({type(error).__name__})") from None
    read(text, path.suffix)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What differs when the file does. Orchestrators replace a mounted file by moving a link."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
