"""The file of rows that were not copied: one JSON document a line, each with the reason.

It grows with the chunks. Its length is part of the progress in the database: what a chunk wrote that was
not committed is cut off before the next one is written.
"""

import base64
import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from imc_command_api.migrations.adopt.failures import AdoptionError

_PRIVATE = 0o600
_BEGINNING = b'{"table":'


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was not copied."""

    table: str
    id: int
    reason: str
    columns: Sequence[str]
    values: Sequence[Any]

    @property
    def line(self) -> bytes:
        """The row as a line of the file. A value of bytes that are no text is in Base64."""
        row = dict(zip(self.columns, self.values, strict=True))
        told = {"table": self.table, "id": self.id, "reason": self.reason, "row": row}
        return orjson.dumps(told, default=_spelled, option=orjson.OPT_APPEND_NEWLINE)


class RejectsFile:
    """The file at ``path``, made when the first row is rejected. Blocks; methods raise `AdoptionError`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self, length: int) -> None:
        """Check that the file is what an adoption has left that committed ``length`` bytes of it."""
        try:
            with self._opened(os.O_RDONLY) as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(length)
                rest = file.read(len(_BEGINNING))
        except FileNotFoundError:
            if length:
                raise AdoptionError(
                    f"{self.path}, which has the rows rejected so far, is gone: put it back, or name another "
                    "file with --rejects"
                ) from None
            return
        except OSError as error:
            raise self._failure(error) from None
        if size < length or not _BEGINNING.startswith(rest):
            raise AdoptionError(f"{self.path} is not as it was left: name another file with --rejects")

    def claim(self) -> None:
        """Check that there is no such file yet, or an empty one."""
        try:
            if os.stat(self.path, follow_symlinks=False).st_size:
                raise AdoptionError(f"{self.path} exists: name another file with --rejects")
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self._failure(error) from None

    def write(self, lines: Sequence[bytes], at: int) -> None:
        """Let the file end with ``lines`` at the offset ``at``, on the disk."""
        try:
            with self._opened(os.O_RDWR | os.O_CREAT) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                os.fchmod(file.fileno(), _PRIVATE)
                file.truncate(at)
                file.seek(at)
                file.write(b"".join(lines))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self._failure(error) from None

    def _opened(self, flags: int) -> Any:
        # No symbolic link: the folder may be one where others can write.
        descriptor = os.open(self.path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, _PRIVATE)
        return os.fdopen(descriptor, "rb" if flags == os.O_RDONLY else "r+b")

    def _failure(self, error: OSError) -> AdoptionError:
        return AdoptionError(
            f"can't use {self.path} for rejected rows: {error.strerror}: name another file with --rejects"
        )


def _spelled(value: object) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
