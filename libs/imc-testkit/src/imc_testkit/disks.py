"""Disks that can be full: file systems in memory, for servers whose disk is to run out."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path


class NotPermitted(Exception):
    """Whoever runs this may not mount a file system."""


@dataclass(frozen=True)
class SmallDisk:
    """A file system of its own."""

    folder: Path

    @contextlib.contextmanager
    def filled(self) -> Generator[None]:
        """Leave no room on it for a while."""
        filler = self.folder / "filler"
        try:
            with filler.open("wb") as file:
                # Others may write meanwhile: what one call finds free, the next may not.
                with contextlib.suppress(OSError):
                    while free := shutil.disk_usage(self.folder).free:
                        os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), free)
                yield
        finally:
            filler.unlink(missing_ok=True)


@contextlib.contextmanager
def small_disk(megabytes: int) -> Generator[SmallDisk]:
    """A disk of that size; all on it is gone in the end. Raises `NotPermitted`."""
    folder = Path(tempfile.mkdtemp(prefix="imc-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    try:
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            raise NotPermitted("no file system can be mounted here: it takes root")
        try:
            yield SmallDisk(folder)
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
    finally:
        folder.rmdir()
