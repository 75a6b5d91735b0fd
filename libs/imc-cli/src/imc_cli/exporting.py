"""Where an export is written: a file that appears when it is whole, or standard output."""

import contextlib
import json
import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from io import BufferedRandom
from pathlib import Path
from typing import Any, Protocol

from imc_service.standard_streams import say

from imc_cli.failures import Failure

Subject = Mapping[str, str | None]
"""What is exported: an appId, a groupId and a userId, or None."""


def lines_of(kind: str, views: Iterable[Mapping[str, Any]]) -> list[str]:
    """Each view as a line: {"message": …} or {"notice": …}."""
    return [json.dumps({kind: view}, ensure_ascii=False) for view in views]


class Output(Protocol):
    """Takes an export page by page."""

    kinds_done: int
    """How many kinds are whole: messages come first, then notices."""

    after: str | None
    """What the kind that is not whole goes on after; None at its beginning."""

    count: int
    """How many lines are written."""

    def add(self, lines: Sequence[str], after: str | None) -> None:
        """Write a page. The next one comes ``after``; None ends the kind. Raises `Failure`."""
        ...


@contextlib.contextmanager
def opened(path: Path | None, subject: Subject) -> Generator[Output]:
    """An output for the duration of the block: standard output if ``path`` is None.

    Raises `Failure` for a file that is there already or can't be written, and for a part of an export of
    something else.
    """
    if path is None:
        yield _StandardOutput()
        return
    if path.exists():
        raise Failure(f"{path} is there already: remove it, or choose another --output")
    try:
        with _PartialFile(path, subject) as file:
            yield file
            file.is_whole()
    except OSError as error:
        raise Failure(f"the export can't be written to {path}: {error.strerror or error}") from None


class _StandardOutput:
    def __init__(self) -> None:
        self.kinds_done, self.after, self.count = 0, None, 0

    def add(self, lines: Sequence[str], after: str | None) -> None:
        say(*lines)
        self.count += len(lines)
        self.after = after
        self.kinds_done += after is None


class _PartialFile:
    """A file beside the one to be, and another one that says how much of it counts.

    What was written after the last page that counts is cut off when the export goes on.
    """

    def __init__(self, path: Path, subject: Subject) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._position = path.with_name(f"{path.name}.position")
        self._subject = dict(subject)
        known = self._known()
        self.kinds_done: int = known["kindsDone"]
        self.after: str | None = known["after"]
        self.count: int = known["count"]
        self._file: BufferedRandom = self._part.open("r+b" if known["bytes"] else "w+b")
        self._file.truncate(known["bytes"])
        self._file.seek(0, os.SEEK_END)

    def __enter__(self) -> "_PartialFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, lines: Sequence[str], after: str | None) -> None:
        self._file.write("".join(f"{line}\n" for line in lines).encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self.count += len(lines)
        self.after = after
        self.kinds_done += after is None
        position = {
            "export": self._subject,
            "kindsDone": self.kinds_done,
            "after": self.after,
            "count": self.count,
            "bytes": self._file.tell(),
        }
        _replace(self._position, json.dumps(position))

    def is_whole(self) -> None:
        """Give the file its name."""
        self._part.replace(self._path)
        self._position.unlink(missing_ok=True)

    def _known(self) -> dict[str, Any]:
        """Where a part that is there ends, or the beginning."""
        try:
            known = json.loads(self._position.read_bytes())
            subject, size = known["export"], self._part.stat().st_size
        except FileNotFoundError:
            return {"kindsDone": 0, "after": None, "count": 0, "bytes": 0}
        except (ValueError, TypeError, KeyError):
            raise Failure(f"{self._position} can't be read: remove it to begin anew") from None
        if subject != self._subject or size < known["bytes"]:
            raise Failure(
                f"{self._part} is no part of this export: remove it and {self._position.name} to begin anew, "
                "or choose another --output"
            )
        return known


def _replace(path: Path, text: str) -> None:
    """Write a file so that it has its old content or the new one, whatever happens."""
    new = path.with_name(f"{path.name}.new")
    with new.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
